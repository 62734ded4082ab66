/**
 * Segments on their way to a server over Socket.IO (`audio-chunk`): one after the other, each until the server has said what it
 * does with it.
 */

import { RtcError } from "./errors.js";
import { Backoff, Deadlines } from "./timing.js";
import { isRecord } from "./wire.js";

const ANSWER_MS = 30_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_CAP_MS = 30_000;

/**
 * @typedef {object} Segment
 * @property {Uint8Array} file
 * @property {string} format Of the file: `webm`, `ogg` or `mp4`.
 * @property {number} timestamp When it begins, in milliseconds since the Unix epoch; tells it from the others of the session.
 * @property {number} duration Seconds.
 */

/**
 * What becomes of a segment. `lost`: so many waited that the oldest had to go.
 *
 * @typedef {{type: "accepted", segment: Segment}
 *   | {type: "skipped", segment: Segment, reason: string}
 *   | {type: "rejected", segment: Segment, error: RtcError}
 *   | {type: "lost", segment: Segment, total: number}
 *   | {type: "waiting", error: RtcError, delay: number}} SegmentOutcome `waiting`: it is tried again after `delay`
 *   milliseconds.
 */

export class SegmentQueue {
  #socket;
  #about;
  #most;
  #tell;
  #timers;
  #deadlines;
  #backoff;
  /** @type {Segment[]} */
  #segments = [];
  /** The one that the server was given, and which answer counts. @type {{segment: Segment} | null} */
  #current = null;
  /** @type {(() => void)[]} */
  #idle = [];

  /** Segments that were dropped unsent. */
  lost = 0;

  /**
   * @param {object} options
   * @param {import("./socket.js").SocketLike} options.socket
   * @param {() => Record<string, unknown>} options.about What each message has beside the segment, such as `sessionId`.
   * @param {number} options.most Segments that may wait.
   * @param {(outcome: SegmentOutcome) => void} options.tell
   * @param {import("./timing.js").Timers} options.timers
   * @param {() => number} options.random 0 to 1.
   */
  constructor({ socket, about, most, tell, timers, random }) {
    this.#socket = socket;
    this.#about = about;
    this.#most = most;
    this.#tell = tell;
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: Infinity, random });
  }

  /** Segments that the server has not answered yet. */
  get waiting() {
    return this.#segments.length;
  }

  /** @param {Segment} segment */
  push(segment) {
    this.#segments.push(segment);
    if (this.#segments.length > this.#most) {
      // the one that is under way may be at the server already
      const [oldest] = this.#segments.splice(this.#current === null ? 0 : 1, 1);
      if (oldest !== undefined) this.#tell({ type: "lost", segment: oldest, total: ++this.lost });
    }
    this.pump();
  }

  /** Send the next one, where none is under way and nothing is waited for. */
  pump() {
    const [segment] = this.#segments;
    if (this.#current !== null || this.#deadlines.has("again") || !this.#socket.connected) return;
    if (segment === undefined) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    const current = { segment };
    this.#current = current;
    const { file, format, timestamp, duration } = segment;
    this.#deadlines.set("answer", ANSWER_MS, () => {
      if (this.#current === current) this.#again(new RtcError("no_answer"), 0);
    });
    this.#socket.emit(
      "audio-chunk",
      { ...this.#about(), audio: base64(file), format, duration, timestamp },
      (/** @type {unknown} */ answer) => this.#current === current && this.#answered(segment, answer),
    );
  }

  /** The connection is gone: what was under way is sent again on the next one, for its answer will not come. */
  interrupted() {
    this.#current = null;
    this.#deadlines.cancel("answer");
  }

  /**
   * @param {number} milliseconds To wait at most.
   * @returns {Promise<void>} Nothing waits any more, or the time is over.
   */
  drained(milliseconds) {
    if (this.#segments.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#timers.after(milliseconds, () => resolve());
      this.#idle.push(() => {
        cancel();
        resolve();
      });
    });
  }

  close() {
    this.#deadlines.cancelAll();
    this.#segments = [];
    this.#current = null;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /**
   * @param {Segment} segment
   * @param {unknown} answer
   */
  #answered(segment, answer) {
    const { status, reason, error } = isRecord(answer) ? answer : {};
    if (status === "rejected") {
      const refusal = RtcError.fromWire(isRecord(error) ? error : { code: reason, ...(isRecord(answer) ? answer : {}) });
      // also where an older server says no more than the reason
      if (refusal.retryable || refusal.code === "rate_limited") return this.#again(refusal, 1000 * (refusal.retryAfter ?? 1));
      this.#done();
      this.#tell({ type: "rejected", segment, error: refusal });
      return this.pump();
    }
    this.#backoff.succeeded();
    this.#done();
    if (status === "skipped") this.#tell({ type: "skipped", segment, reason: String(reason ?? "") });
    else this.#tell({ type: "accepted", segment });
    this.pump();
  }

  #done() {
    this.interrupted();
    this.#segments.shift();
  }

  /**
   * @param {RtcError} error
   * @param {number} least Milliseconds to wait in any case.
   */
  #again(error, least) {
    this.interrupted();
    const delay = this.#backoff.failed(this.#timers.now(), least) ?? BACKOFF_CAP_MS;
    this.#tell({ type: "waiting", error, delay });
    this.#deadlines.set("again", delay, () => this.pump());
  }
}

const STEP = 0x8000;

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += STEP) text += String.fromCharCode(...bytes.subarray(at, at + STEP));
  return btoa(text);
}
