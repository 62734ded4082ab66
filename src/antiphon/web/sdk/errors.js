/**
 * What can go wrong between a microphone and a room, in words that somebody can act on.
 */

import { readError } from "./wire.js";

/** @typedef {import("./microphone.js").MicrophoneProblem} MicrophoneProblem */

/** @type {Readonly<Record<string, {message: string, action: string}>>} */
const KNOWN = {
  // The microphone
  insecure: {
    message: "This address is not secure enough for a microphone",
    action: "Browsers hand out sound only on https:// or on this very computer (localhost). Open the page that way.",
  },
  no_capture: {
    message: "This browser cannot capture sound",
    action: "Use a current Chrome, Edge, Firefox or Safari.",
  },
  denied: {
    message: "The browser was not allowed to listen",
    action:
      "Click the icon beside the address, allow the microphone for this page, and try again. If it is allowed there, look in the system’s privacy settings.",
  },
  dismissed: {
    message: "The question for the microphone was closed without an answer",
    action: "Try again and allow the microphone.",
  },
  no_device: {
    message: "No microphone was found",
    action: "Plug one in or switch it on, then try again.",
  },
  device_missing: {
    message: "The chosen microphone is not there any more",
    action: "Choose another, then try again.",
  },
  device_busy: {
    message: "The microphone could not be opened",
    action: "Another program may be using it. Close that one, then try again.",
  },
  capture_failed: {
    message: "The sound could not be captured",
    action: "Try again; if it fails again, choose another microphone.",
  },
  device_gone: {
    message: "The microphone was disconnected",
    action: "Plug it in again or choose another. Until then nobody hears you.",
  },

  // A tab that is shared, and what is made of the sound
  no_tab_capture: {
    message: "This browser cannot share a tab’s sound",
    action: "Use Chrome or Edge on a computer, or the microphone alone.",
  },
  no_tab_audio: {
    message: "No sound was shared",
    action: "Try again, choose a tab, and switch on “Also share tab audio”.",
  },
  sharing_ended: {
    message: "Sharing was ended",
    action: "Share the tab again to go on.",
  },
  stream_ended: {
    message: "The sound that was handed in has ended",
    action: "Hand another one in.",
  },
  needs_click: {
    message: "The browser does not process sound before somebody has clicked",
    action: "Start from a click or a key.",
  },
  no_worklet: {
    message: "This browser is too old to process sound live",
    action: "Update it.",
  },
  no_encoder: {
    message: "This browser cannot encode sound that way",
    action: "Let the SDK choose the codec (“auto”), or use a current Chrome, Edge, Firefox or Safari.",
  },
  not_playable: {
    message: "What the server sends back cannot be played",
    action: "Ask for a reply in another format, such as pcm_s16le.",
  },
  bad_audio: {
    message: "This is not sound in the format of the stream",
    action: "Send what AudioCapture gives, or set the stream’s format to what is sent.",
  },

  // The connection
  no_webrtc: {
    message: "This browser has no WebRTC, or it is switched off",
    action: "Use a current Chrome, Edge, Firefox or Safari, and look whether an extension blocks WebRTC.",
  },
  unreachable: {
    message: "The server could not be reached",
    action: "Check that it runs and that this device is on its network, then try again.",
  },
  no_answer: {
    message: "The other side did not answer",
    action: "It is tried again by itself.",
  },
  connection_failed: {
    message: "No sound can get through between here and the other side",
    action: "A firewall may be in the way. “Check my connection” tells which ways are open.",
  },
  bad_description: {
    message: "The other side sent a description that this browser cannot use",
    action: "Reload the page; one of the two may be out of date.",
  },
  media_unavailable: {
    message: "This server carries no sound between browsers",
    action: "Whoever runs it can switch that on; until then, choose the direct way.",
  },
  no_captions: {
    message: "What you say is not being written down",
    action: "The server has no place for it now, and tries again by itself.",
  },
  closed_by_server: {
    message: "The server ended the connection",
    action: "Join again.",
  },

  // Playing
  insecure_player: {
    message: "This address is not secure enough for playing a stream",
    action: "Browsers play streams only on https:// or on this very computer (localhost). Open the page that way.",
  },
  no_player: {
    message: "This browser cannot play a stream",
    action: "Use a current Chrome, Edge, Firefox or Safari.",
  },
  no_opus: {
    message: "This browser cannot decode Opus, and the server carries no decoder for it",
    action: "Use a current Chrome, Edge, Firefox or Safari; or whoever runs the server can add the decoder with “make serve”, which needs Node.js.",
  },
  unsupported_codec: {
    message: "There is no player for this codec",
    action: "Give “opus” or “pcm_s16le”.",
  },
  bad_stream: {
    message: "What comes is not the audio that it is said to be",
    action: "Check codec, sampleRate and channels of open(), or what the sender sends.",
  },
  player_failed: {
    message: "Playing failed",
    action: "Try again; if it fails again, reload the page.",
  },
  gone: {
    message: "The server has not come back",
    action: "Check that it runs and that this device is on its network, then play again.",
  },
  not_connected: {
    message: "There is no connection now, so that this was not sent",
    action: "Send it again when there is one.",
  },
  not_open: {
    message: "This player plays nothing",
    action: "Call listen() or open() first.",
  },

  // What only the server knows
  session_limit: {
    message: "The server is full",
    action: "Try again when somebody has finished.",
  },
  duration_limit: {
    message: "This is as long as the server allows",
    action: "Begin another stream.",
  },
  unauthorized: {
    message: "The server asks for an access key",
    action: "Give the key that whoever runs the server has for you.",
  },
  forbidden: {
    message: "The server does not allow this",
    action: "Ask whoever runs it for access.",
  },
  engine_unavailable: {
    message: "Speech recognition is not available",
    action: "Try again in a moment. If it stays so, the server’s log says why.",
  },

  // The order of calls
  already_connected: {
    message: "This stream was connected before",
    action: "A stream connects once, and again by itself; make another.",
  },
  already_started: {
    message: "This was started before",
    action: "Stop it and make another.",
  },
  not_started: {
    message: "This is not started",
    action: "Call start() and wait for it first.",
  },
  not_initialized: {
    message: "This manager is not initialised",
    action: "Call initialize() and wait for it first.",
  },
  not_joined: {
    message: "This manager is in no room",
    action: "Call join() and wait for it first.",
  },
  already_initialized: {
    message: "This manager was initialised before",
    action: "Call initialize() once, or close() and make another.",
  },
  already_joined: {
    message: "This manager is in a room",
    action: "Call leave() first.",
  },
  no_peer: {
    message: "There is no connection to that participant",
    action: "Wait for peer-joined, or use one of the ids in participants.",
  },
  closed: {
    message: "This was closed",
    action: "Make another.",
  },
};

/** An error with what to do about it. */
export class RtcError extends Error {
  /**
   * @param {string} code Of the wire contract, or of this SDK.
   * @param {object} [more]
   * @param {string} [more.message] What happened, where the code alone does not say it.
   * @param {string} [more.action] What to do about it.
   * @param {string} [more.detail] What the browser said.
   * @param {boolean} [more.retryable]
   * @param {number | null} [more.retryAfter] Seconds.
   */
  constructor(code, { message, action, detail = "", retryable = false, retryAfter = null } = {}) {
    super(message ?? KNOWN[code]?.message ?? code);
    this.name = "RtcError";
    this.code = code;
    this.action = action ?? KNOWN[code]?.action ?? "";
    this.detail = detail;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
  }

  /**
   * @param {unknown} wire The error shape of the server.
   */
  static fromWire(wire) {
    const { code, message, retryable, retryAfter } = readError(wire);
    return new RtcError(code, { message, retryable, retryAfter });
  }

  /**
   * @param {string} code
   * @param {unknown} cause What was thrown.
   */
  static because(code, cause) {
    if (cause instanceof RtcError) return cause;
    return new RtcError(code, { detail: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause) });
  }
}
