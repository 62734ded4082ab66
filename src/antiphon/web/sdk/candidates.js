/**
 * Candidates that came before the description they belong to.
 */

/** Kept at most; no honest peer has as many. */
const MOST = 128;

export class CandidateQueue {
  /** @type {RTCIceCandidateInit[]} */
  #waiting = [];

  /** Dropped because too many waited. */
  dropped = 0;

  get size() {
    return this.#waiting.length;
  }

  /** @param {RTCIceCandidateInit} candidate The oldest are kept: hosts come first, and one of them often does. */
  keep(candidate) {
    if (this.#waiting.length < MOST) this.#waiting.push(candidate);
    else this.dropped++;
  }

  /** All that waited, in the order they came. */
  take() {
    return this.#waiting.splice(0);
  }
}

/**
 * A candidate as signaling carries it: an object or its bare line; null or "" where there are no more.
 *
 * @param {unknown} wire
 * @returns {RTCIceCandidateInit | null} Null for what is no candidate, and for the end of them.
 */
export function readCandidate(wire) {
  if (typeof wire === "string") return wire === "" ? null : { candidate: bare(wire), sdpMid: null, sdpMLineIndex: 0 };
  if (typeof wire !== "object" || wire === null) return null;
  const { candidate, sdpMid, sdpMLineIndex, usernameFragment } = /** @type {Record<string, unknown>} */ (wire);
  if (typeof candidate !== "string" || candidate === "") return null;
  const mid = typeof sdpMid === "string" ? sdpMid : null;
  const index = typeof sdpMLineIndex === "number" ? sdpMLineIndex : null;
  return {
    candidate: bare(candidate),
    sdpMid: mid,
    sdpMLineIndex: mid === null && index === null ? 0 : index,
    ...(typeof usernameFragment === "string" ? { usernameFragment } : {}),
  };
}

/** @param {string} line */
const bare = (line) => (line.startsWith("a=") ? line.slice(2) : line);
