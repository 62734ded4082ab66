/**
 * What a server says of an utterance, as any of its doors writes it.
 */

import { isRecord } from "./wire.js";

/**
 * @typedef {object} Word
 * @property {string} word
 * @property {number} start Seconds.
 * @property {number} end Seconds.
 * @property {number | null} confidence 0 to 1, or null where the engine gives none.
 */

/**
 * @typedef {object} Result What a server says of one utterance, its times counted from the beginning of its stream.
 * @property {string} resultId
 * @property {string} text
 * @property {boolean} isPartial
 * @property {number} start Seconds.
 * @property {number} end Seconds.
 * @property {string} language
 * @property {string | null} speaker
 * @property {Word[]} words
 */

/**
 * A number that is finite, or the other.
 *
 * @param {unknown} value
 * @param {number} otherwise
 */
const finite = (value, otherwise) => (typeof value === "number" && Number.isFinite(value) ? value : otherwise);

/**
 * Read a result as either door writes it: camelCase on the WebSocket, snake_case in server-sent events.
 *
 * @param {unknown} wire
 * @returns {Result | null} Null for what is not a result.
 */
export function readResult(wire) {
  if (!isRecord(wire) || typeof wire["text"] !== "string") return null;
  const start = Math.max(0, finite(wire["start"], 0));
  const end = Math.max(start, finite(wire["end"], start));
  const words = Array.isArray(wire["words"]) ? wire["words"] : [];
  return {
    resultId: String(wire["resultId"] ?? wire["result_id"] ?? ""),
    text: wire["text"].trim(),
    isPartial: (wire["isPartial"] ?? wire["is_partial"]) === true,
    start,
    end,
    language: typeof wire["language"] === "string" ? wire["language"] : "",
    speaker: typeof wire["speaker"] === "string" ? wire["speaker"] : null,
    words: words.filter(isRecord).map((word) => ({
      word: String(word["word"] ?? ""),
      start: finite(word["start"], start),
      end: finite(word["end"], end),
      confidence: typeof word["confidence"] === "number" ? word["confidence"] : null,
    })),
  };
}
