/**
 * Ask the server who it is, before anything is captured: a WebSocket that is refused doesn't say why.
 */

import { problem } from "./problems.js";
import { keyHeaders, readError } from "./web/sdk/wire.js";

const DEADLINE_MS = 10_000;

/**
 * @typedef {object} ServerInfo
 * @property {string} engine
 * @property {string[]} languages BCP 47 tags.
 * @property {string} defaultLanguage
 */

/**
 * @param {Pick<import("./settings.js").Settings, "server" | "key">} settings
 * @returns {Promise<{info: ServerInfo} | {problem: import("./problems.js").Problem}>}
 */
export async function askServer({ server, key }) {
  let response;
  try {
    response = await fetch(new URL("/v1/engine", server), {
      headers: keyHeaders(key),
      credentials: "omit",
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch (error) {
    const silent = error instanceof DOMException && error.name === "TimeoutError";
    return { problem: problem(!silent && (await answers(server)) ? "origin_refused" : "no_server") };
  }
  /** @type {unknown} */
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const error = readError(body);
    const known = error.code === "internal" && response.status !== 500 ? "not_antiphon" : error.code;
    return { problem: problem(known, { message: error.message }) };
  }
  const info = readInfo(body);
  return info === null ? { problem: problem("not_antiphon") } : { info };
}

/**
 * Whether anything is there. The browser tells a page nothing of an answer that is not for it, but it does tell whether
 * there was one.
 *
 * @param {string} server
 */
async function answers(server) {
  try {
    await fetch(new URL("/healthz", server), {
      mode: "no-cors",
      credentials: "omit",
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {any} body
 * @returns {ServerInfo | null}
 */
function readInfo(body) {
  if (!Array.isArray(body?.languages)) return null;
  return {
    engine: String(body.name ?? ""),
    languages: body.languages.map(String),
    defaultLanguage: String(body.defaultLanguage ?? ""),
  };
}
