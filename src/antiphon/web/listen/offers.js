/**
 * What the server has to hear: files, rooms, voices.
 */

import { RtcError } from "../sdk/errors.js";
import { isRecord, keyHeaders } from "../sdk/wire.js";

const DEADLINE_MS = 10_000;

/** @typedef {{id: string, name: string, language: string}} Voice */

/**
 * @param {string} path
 * @param {string} key
 * @returns {Promise<Record<string, unknown>>}
 * @throws {RtcError}
 */
async function ask(path, key) {
  let response;
  let body;
  try {
    response = await fetch(new URL(path, location.href), {
      headers: keyHeaders(key),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    body = await response.json();
  } catch (error) {
    throw RtcError.because("unreachable", error);
  }
  if (!response.ok) throw RtcError.fromWire(body);
  return isRecord(body) ? body : {};
}

/** @param {unknown} value @returns {Record<string, unknown>[]} */
const records = (value) => (Array.isArray(value) ? value.filter(isRecord) : []);

/** @param {string} key @returns {Promise<{name: string, bytes: number}[]>} */
export async function listFiles(key) {
  const { files } = await ask("/v1/media", key);
  return records(files).map(({ name, bytes }) => ({ name: String(name), bytes: Number(bytes) }));
}

/** @param {string} key @returns {Promise<string[]>} */
export async function listRooms(key) {
  const { rooms } = await ask("/v1/rooms", key);
  return records(rooms).map((room) => String(room["roomId"] ?? room["room"] ?? room["id"] ?? ""));
}

/** @param {string} key @returns {Promise<{voices: Voice[], defaultVoice: string}>} */
export async function listVoices(key) {
  const { voices, defaultVoice } = await ask("/v1/voices", key);
  return {
    voices: records(voices).map(({ id, name, language }) => ({
      id: String(id),
      name: String(name ?? id),
      language: String(language ?? ""),
    })),
    defaultVoice: String(defaultVoice ?? ""),
  };
}
