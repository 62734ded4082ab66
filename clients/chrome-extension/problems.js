/**
 * What can go wrong between a tab and its captions, in words that somebody can act on.
 */

/**
 * @typedef {object} Problem
 * @property {string} code Of this extension, of the SDK, or of the wire contract.
 * @property {string} title What happened.
 * @property {string} action What to do about it; may be empty.
 * @property {string} detail What the browser or the server said, where that helps.
 */

/** @type {Readonly<Record<string, {title: string, action: string}>>} */
const KNOWN = {
  // The tab
  no_target: {
    title: "No tab is chosen yet",
    action: "Bring the tab that you want captioned to the front and click the Antiphon icon in the toolbar.",
  },
  not_invoked: {
    title: "Chrome wants a click before it hands out this tab’s sound",
    action: "Bring the tab to the front, click the Antiphon icon in the toolbar, then press Start.",
  },
  tab_refused: {
    title: "This tab cannot be captured",
    action: "Chrome keeps its own pages and the Web Store to itself. Open what you want captioned in an ordinary tab.",
  },
  tab_busy: {
    title: "This tab is being captured already",
    action: "Stop the other capture, or reload the tab, then press Start.",
  },
  tab_gone: {
    title: "The tab was closed",
    action: "Click the Antiphon icon on another tab to go on there.",
  },
  capture_failed: {
    title: "The tab’s sound could not be captured",
    action: "Reload the tab, click the Antiphon icon, and press Start again.",
  },
  capture_lost: {
    title: "Chrome ended the capture",
    action: "Click the Antiphon icon on the tab and press Start to go on.",
  },
  running: {
    title: "Another tab is being captioned",
    action: "Press Stop first.",
  },

  // The microphone
  microphone_refused: {
    title: "The microphone is not allowed yet",
    action: "Allow it on the page that has just opened, then press Start again. Or go on without the microphone.",
  },
  no_microphone: {
    title: "No microphone was found",
    action: "Plug one in or switch it on, then press Start again. Or go on without it.",
  },
  microphone_failed: {
    title: "The microphone could not be opened",
    action: "Another program may be using it. Close that one, or go on without the microphone.",
  },
  microphone_unheard: {
    title: "What you say is not being captioned",
    action: "The tab is. To have both, stop and start again.",
  },
  microphone_gone: {
    title: "The microphone was disconnected",
    action: "The tab goes on being captioned. To have the microphone back, stop and start again.",
  },

  // The server
  bad_address: {
    title: "This is no address of a server",
    action: "It looks like http://127.0.0.1:8080 or https://voice.example.org.",
  },
  no_server: {
    title: "No server answers at this address",
    action: "Check that it runs and that this computer is on its network, or correct the address in the settings.",
  },
  not_antiphon: {
    title: "Something answers at this address, but it is no Antiphon server",
    action: "Correct the address in the settings.",
  },
  origin_refused: {
    title: "The server does not let this extension in yet",
    action: "Whoever runs it has to start it with that flag, or name the extension in cors_origins.",
  },
  unauthorized: {
    title: "The server asks for an access key, and this is not one",
    action: "Type the key that whoever runs the server gave you into the settings.",
  },
  unreachable: {
    title: "The server could not be reached any more",
    action: "Check that it runs and that this computer is on its network, then press Start.",
  },
  unconfirmed: {
    title: "The server did not confirm the last words",
    action: "The end of the captions may be missing.",
  },
  closed: {
    title: "The server ended the session",
    action: "Press Start to begin another.",
  },
  session_lost: {
    title: "The server had forgotten this session",
    action: "A new one has begun with what was heard since the last finished caption.",
  },
  session_limit: {
    title: "The server is full",
    action: "All its places are taken. Try again when somebody has finished.",
  },
  unsupported_format: {
    title: "The server does not take this language or this kind of sound",
    action: "Choose another in the settings.",
  },
  duration_limit: {
    title: "This is as long as the server allows",
    action: "Press Start to go on in a new session.",
  },
};

/** Codes whose cause only the other side knows, so that its words are shown too. */
const SERVER_KNOWS = new Set(["unsupported_format", "microphone_unheard"]);

/**
 * @param {string} code
 * @param {{message?: string, action?: string}} [said] What the other side said of it.
 * @returns {Problem}
 */
export function problem(code, { message = "", action = "" } = {}) {
  const known = KNOWN[code];
  if (known !== undefined) {
    const said = SERVER_KNOWS.has(code) ? message : "";
    return { code, ...known, detail: code === "origin_refused" ? originSetting() : said };
  }
  return { code, title: message || "Something went wrong", action: action || "Try again.", detail: "" };
}

/** The flag with which a server lets this extension in. */
export function originSetting() {
  return `--cors-origins ${location.origin}`;
}

/**
 * What an error of Chrome means, when it was asked for a tab's sound.
 *
 * @param {unknown} error
 */
export function tabProblem(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (/not been invoked|activeTab/i.test(message)) return problem("not_invoked");
  if (/active stream/i.test(message)) return problem("tab_busy");
  if (/no tab with id|invalid tab/i.test(message)) return problem("tab_gone");
  if (/cannot be captured|chrome pages|chrome:\/\//i.test(message)) return problem("tab_refused");
  return { ...problem("capture_failed"), detail: `${name}: ${message}` };
}

/**
 * What an error of the browser means, when it was asked for the microphone.
 *
 * @param {unknown} error
 */
export function microphoneProblem(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (name === "NotAllowedError" || name === "SecurityError") return problem("microphone_refused");
  if (name === "NotFoundError") return problem("no_microphone");
  return { ...problem("microphone_failed"), detail: `${name}: ${message}` };
}
