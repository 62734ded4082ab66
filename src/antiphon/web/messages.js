/**
 * What went wrong, in words that somebody can act on.
 */

/**
 * @typedef {object} Advice
 * @property {string} title What happened.
 * @property {string} action What to do about it; may be empty.
 */

/**
 * @typedef {object} Problem
 * @property {string} code Of the wire contract, of the SDK, or of this page.
 * @property {string} [message] What the server or the browser said.
 * @property {number | null} [retryAfter] Seconds.
 */

/** @type {Readonly<Record<string, Advice>>} */
const ADVICE = {
  // Before anything is captured
  insecure: {
    title: "This address is not secure enough for a microphone",
    action:
      "Browsers hand out live sound only on https:// or on this very computer (localhost). Open the page that way, or choose a file.",
  },
  no_capture: {
    title: "This browser cannot capture sound",
    action: "Use a current Chrome, Edge, Firefox or Safari, or choose a file.",
  },
  no_tab_capture: {
    title: "This browser cannot share a tab’s sound",
    action: "Use Chrome or Edge on a computer, or choose the microphone or a file.",
  },
  no_worklet: {
    title: "This browser is too old to process sound live",
    action: "Update it, or choose a file.",
  },
  denied: {
    title: "The browser was not allowed to listen",
    action:
      "Click the icon beside the address, allow the sound for this page, and press Start again. If it is allowed there, look in the system’s privacy settings.",
  },
  dismissed: {
    title: "The question was closed without an answer",
    action: "Press Start again and allow the sound.",
  },
  no_device: {
    title: "No microphone was found",
    action: "Plug one in or switch it on, then press Start again.",
  },
  device_missing: {
    title: "The chosen microphone is not there any more",
    action: "Choose another in the list, then press Start again.",
  },
  device_busy: {
    title: "The microphone could not be opened",
    action: "Another program may be using it. Close that one, then press Start again.",
  },
  needs_click: {
    title: "The browser wants a click first",
    action: "Press Start again.",
  },
  no_tab_audio: {
    title: "No sound was shared",
    action: "Press Start again, choose a tab, and switch on “Also share tab audio”.",
  },
  capture_failed: {
    title: "The sound could not be captured",
    action: "Press Start again; if it fails again, try another source.",
  },

  // While it runs
  device_gone: {
    title: "The microphone was disconnected",
    action: "What was said until then is below. Plug it in or choose another, then press Start.",
  },
  sharing_ended: {
    title: "Sharing was ended",
    action: "What was heard until then is below. Press Start to share again.",
  },
  device_gone_other: {
    title: "The microphone was disconnected",
    action: "The tab is still heard. Press Stop and Start to hear both again.",
  },
  sharing_ended_other: {
    title: "Sharing was ended",
    action: "The microphone is still heard. Press Stop and Start to hear both again.",
  },
  muted: {
    title: "The system is holding the sound back",
    action: "Look for a mute switch on the microphone or in the system’s settings.",
  },
  silence: {
    title: "Nothing but silence is arriving",
    action: "Check that the microphone is not muted, or choose another.",
  },
  offline: {
    title: "This device has no network",
    action: "The last 30 seconds are kept here and sent when the network is back.",
  },
  session_lost: {
    title: "The server had forgotten this session",
    action: "A new one has begun with everything said since the last finished caption.",
  },
  unreachable: {
    title: "The server could not be reached",
    action: "Check that it runs and that this device is on its network, then press Start.",
  },
  unconfirmed: {
    title: "The server did not confirm the last words",
    action: "The end of the transcript may be missing.",
  },
  closed: {
    title: "The server ended the session",
    action: "Press Start to begin another.",
  },

  page: {
    title: "This page failed",
    action: "Reload it and try again.",
  },

  // Files
  no_file: {
    title: "No file is chosen",
    action: "Choose an audio or video file first.",
  },
  empty_file: {
    title: "The file is empty",
    action: "Choose another file.",
  },
  unreadable_file: {
    title: "The file could not be read",
    action: "It may have been moved or changed. Choose it again.",
  },
  unsaved: {
    title: "This takes the place of the transcript below",
    action: "Download it first if you need it, or press the button once more.",
  },
  no_words: {
    title: "No words were heard",
    action: "Check that the file has speech in the chosen language.",
  },

  // From the server
  session_limit: {
    title: "The server is full",
    action: "All its places are taken. Try again when somebody has finished.",
  },
  rate_limited: {
    title: "Too much was sent too fast",
    action: "Wait a moment, then try again.",
  },
  duration_limit: {
    title: "This is as long as the server allows",
    action: "Press Start to go on in a new session, or cut the file into parts.",
  },
  too_large: {
    title: "The file is too large for this server",
    action: "Cut it into parts, or save it in a smaller format.",
  },
  bad_audio: {
    title: "This is not audio that the server can read",
    action: "Choose another file.",
  },
  unsupported_format: {
    title: "The server does not take this format or language",
    action: "Choose a WAV, FLAC, MP3, M4A, MP4, Ogg or WebM file, or another language.",
  },
  unauthorized: {
    title: "The server asks for an access key",
    action: "Type the key that whoever runs the server gave you, then press Start.",
  },
  forbidden: {
    title: "The server does not allow this",
    action: "Ask whoever runs it for access.",
  },
  not_found: {
    title: "The server has forgotten this job",
    action: "Press Start to begin again.",
  },
  conflict: {
    title: "This session is in use elsewhere",
    action: "Press Start to begin another.",
  },
  engine_unavailable: {
    title: "Speech recognition is not available",
    action: "Try again in a moment. If it stays so, the server’s log says why.",
  },
  engine_failed: {
    title: "Speech recognition failed for a moment",
    action: "It has been started again; some words may be missing.",
  },
  internal: {
    title: "Something went wrong on the server",
    action: "Try again. If it happens again, the server’s log says why.",
  },
  bad_message: {
    title: "The server did not understand this page",
    action: "Reload the page; it may be older than the server.",
  },
};

/** Codes whose cause only the server knows, so that its words are shown too. */
const SERVER_KNOWS = new Set([
  "bad_audio",
  "unsupported_format",
  "too_large",
  "duration_limit",
  "engine_unavailable",
  "internal",
  "bad_message",
  "closed",
  "page",
]);

/**
 * @param {Problem} problem
 * @returns {Advice & {detail: string}} `detail` is what the other side said, where that helps.
 */
export function advise({ code, message = "", retryAfter = null }) {
  const known = ADVICE[code];
  const { title, action } = known ?? { title: "Something went wrong", action: "Try again." };
  const wait = retryAfter !== null && retryAfter >= 1 ? ` The server asks to wait ${Math.ceil(retryAfter)} s.` : "";
  const detail = known === undefined || SERVER_KNOWS.has(code) ? message : "";
  return { title, action: action + wait, detail };
}

/**
 * @param {number} seconds
 */
export function lostAudio(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  return {
    title: `${whole} second${whole === 1 ? "" : "s"} of sound ${whole === 1 ? "was" : "were"} lost`,
    action: "The connection was away for longer than the 30 seconds kept here.",
    detail: "",
  };
}
