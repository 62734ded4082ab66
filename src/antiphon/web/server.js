/**
 * What the page knows of its server, and the key that the server may ask for.
 */

import { keyHeaders, readError } from "./sdk/wire.js";

const KEY = "antiphon-access-key";
const DEADLINE_MS = 10_000;

/**
 * @typedef {object} ServerInfo
 * @property {string[]} languages BCP 47 tags.
 * @property {string} defaultLanguage
 * @property {number} maxUploadBytes
 */

/** The key as it was last typed in this tab; "" for none. */
export function accessKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // storage may be switched off
  }
}

/** @param {string} key */
export function keepAccessKey(key) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // Then it is asked for again after a reload.
  }
}

/**
 * @param {string | URL} base
 * @param {string} key
 * @returns {Promise<ServerInfo | {error: import("./messages.js").Problem}>}
 */
export async function askServer(base, key) {
  try {
    const response = await fetch(new URL("/v1/engine", base), {
      headers: keyHeaders(key),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const body = await response.json();
    if (!response.ok) return { error: readError(body) };
    const { languages, defaultLanguage, maxUploadBytes } = body;
    return {
      languages: Array.isArray(languages) ? languages.map(String) : [],
      defaultLanguage: String(defaultLanguage ?? ""),
      maxUploadBytes: typeof maxUploadBytes === "number" ? maxUploadBytes : Infinity,
    };
  } catch {
    return { error: { code: "unreachable" } };
  }
}
