/**
 * What went wrong while listening, in words that somebody can act on.
 */

/** @typedef {import("../messages.js").Advice & {detail: string}} Told */
/** @typedef {"file" | "room" | "say"} Kind */

/** @type {Readonly<Record<string, import("../messages.js").Advice>>} */
const KNOWN = {
  "not_found file": {
    title: "The server has no such file",
    action: "Choose one of the list, which has been read again.",
  },
  "bad_audio file": {
    title: "This file is not audio that the server can read",
    action: "Choose another.",
  },
  "unsupported_format file": {
    title: "The server cannot read this kind of file",
    action: "Choose another; WAV, FLAC, MP3, M4A, Ogg and WebM can be read.",
  },
  "unsupported_format say": {
    title: "The server has no voice for this",
    action: "Choose another voice.",
  },
  "too_large say": {
    title: "The text is too long for this server",
    action: "Shorten it, and have it read part by part.",
  },
  "too_large file": {
    title: "The file is too long for this server",
    action: "Choose another, or ask whoever runs the server.",
  },
  "bad_message say": {
    title: "There is nothing in this text that can be said",
    action: "Type some words, then press Play.",
  },
  "bad_message room": {
    title: "This is no name of a room",
    action: "Use letters, digits, dots, hyphens and underscores.",
  },
  "engine_unavailable say": {
    title: "This server has no voice",
    action: "Whoever runs it can install one: its log says what is missing.",
  },
  "engine_unavailable room": {
    title: "This server carries no sound of rooms",
    action: "Whoever runs it can switch that on.",
  },
  engine_failed: {
    title: "The voice failed",
    action: "Press Play to try again. If it happens again, the server’s log says why.",
  },
  session_limit: {
    title: "The server is full",
    action: "All its places are taken. Try again when somebody has finished.",
  },
  rate_limited: {
    title: "Too much was asked for too fast",
    action: "Wait a moment, then press Play.",
  },
  unauthorized: {
    title: "The server asks for an access key",
    action: "Type the key that whoever runs the server gave you, then press Play.",
  },
  forbidden: {
    title: "The server does not allow this",
    action: "Ask whoever runs it for access.",
  },
  bad_message: {
    title: "The server did not understand this page",
    action: "Reload the page; it may be older than the server.",
  },
  internal: {
    title: "Something went wrong on the server",
    action: "Press Play to try again. If it happens again, the server’s log says why.",
  },
};

/** Codes whose cause only the server knows, so that its words are shown too. */
const SERVER_KNOWS = new Set([
  "not_found",
  "bad_audio",
  "unsupported_format",
  "too_large",
  "bad_message",
  "engine_unavailable",
  "engine_failed",
  "internal",
]);

/**
 * @param {import("../sdk/errors.js").RtcError} error
 * @param {Kind} kind Of source.
 * @returns {Told}
 */
export function adviseListener({ code, message, action, detail }, kind) {
  const known = KNOWN[`${code} ${kind}`] ?? KNOWN[code];
  if (known !== undefined) return { ...known, detail: SERVER_KNOWS.has(code) ? message : "" };
  // an error of the SDK has its own words; one that nobody knows is shown as it came
  return { title: message, action: action || "Press Play to try again.", detail };
}
