/**
 * Live audio to the server's `/audio-stream`, and its captions back, over any number of connections.
 *
 * Every frame of the last 30 seconds is kept. After a lost connection the stream resumes its session and sends again from
 * the frame the server asks for; where the server has forgotten the session, a new one begins with the audio that
 * followed the last final, so that no words are missing and none come twice.
 */

import { FrameStore, packet } from "./sdk/rtp.js";
import { readResult } from "./sdk/results.js";
import { Allowance, Backoff, Deadlines, systemTimers } from "./sdk/timing.js";
import { parseObject, readError } from "./sdk/wire.js";

export const SAMPLE_RATE = 16_000;
export const FRAME_SAMPLES = 320;
export const FRAMES_PER_SECOND = SAMPLE_RATE / FRAME_SAMPLES;

const FRAME_BYTES = 2 * FRAME_SAMPLES;
const PAYLOAD_TYPE = 96;
const KEPT_FRAMES = 30 * FRAMES_PER_SECOND;

const JOIN_DEADLINE_MS = 10_000;
const LEAVE_DEADLINE_MS = 20_000;
const PING_EVERY_MS = 5_000;
const SILENT_SERVER_MS = 15_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 15_000;
const GIVE_UP_MS = 300_000;
const PAUSE_MS = 1_000;

/** Times real time at which a backlog is sent: what the server lets come for long, unless it is told otherwise. */
const CATCH_UP = 4;
const BURST_FRAMES = FRAMES_PER_SECOND;
const PUMP_EVERY_MS = 20;
/** Bytes that may wait in the socket; beyond it frames wait in the store. */
const SOCKET_BYTES = 128 * 1024;

/** @typedef {import("./sdk/timing.js").Timers} Timers */
/** @typedef {import("./sdk/wire.js").WireError} WireError */

/**
 * Why a stream is over: `left` all was said, `abandoned` without waiting for the last words, `unconfirmed` the server
 * never confirmed them, `refused` the server would not have it, `closed` the server ended it, `unreachable` no connection for five
 * minutes.
 *
 * @typedef {"left" | "abandoned" | "unconfirmed" | "refused" | "closed" | "unreachable"} EndReason
 */

/**
 * @typedef {{phase: "idle"}
 *   | {phase: "connecting", again: boolean}
 *   | {phase: "live"}
 *   | {phase: "waiting", retryAt: number}
 *   | {phase: "finishing", retryAt: number | null}
 *   | {phase: "ended", reason: EndReason, error: WireError | null}} StreamState `retryAt` is a time of `Timers.now`,
 *   null while there is a connection.
 */

/**
 * What a stream tells its owner. `take` precedes the results of each session; its offset, in seconds, is where that
 * session begins in the captured audio. `lost` counts seconds of audio that were never heard by the server.
 *
 * @typedef {{type: "state", state: StreamState}
 *   | {type: "take", offset: number, fresh: boolean}
 *   | {type: "result", result: import("./sdk/results.js").Result}
 *   | {type: "speaking", active: boolean}
 *   | {type: "lost", seconds: number}
 *   | {type: "error", error: WireError}} StreamEvent
 */

export class CaptionStream {
  #url;
  #language;
  #key;
  #tell;
  #timers;
  #openSocket;

  #store = new FrameStore(KEPT_FRAMES, FRAME_BYTES);
  #ssrc;
  /** @type {StreamState} */
  #state = { phase: "idle" };
  /** @type {WebSocket | null} */
  #socket = null;
  #joined = false;

  /** @type {{id: string, token: string} | null} What resumes the session. */
  #session = null;
  #everJoined = false;
  #participantId = "";
  #lastEventId = 0;
  /** Index in the store of the session's sequence number 0. */
  #base = 0;
  /** Index of the next frame to send. */
  #cursor = 0;
  /** Every frame below this index was acknowledged in this session. */
  #safe = 0;
  /** Index of the first frame after the last final. */
  #heard = 0;

  #allowance = new Allowance(CATCH_UP * FRAMES_PER_SECOND, BURST_FRAMES);
  #deadlines;
  #backoff;
  #paused = false;
  #leaving = false;
  #leaveSent = false;
  #lastMessageAt = 0;
  /** @type {WireError | null} */
  #lastError = null;

  /**
   * @param {object} options
   * @param {string} options.url `ws:` or `wss:` address of the door.
   * @param {string} options.language Such as `en-US`.
   * @param {string} [options.key] Access key; "" for none.
   * @param {(event: StreamEvent) => void} options.tell
   * @param {(url: string) => WebSocket} [options.openSocket]
   * @param {Timers} [options.timers]
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor({ url, language, key = "", tell, openSocket, timers = systemTimers, random = Math.random }) {
    this.#url = url;
    this.#language = language;
    this.#key = key;
    this.#tell = tell;
    this.#openSocket = openSocket ?? ((address) => new WebSocket(address));
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({
      first: BACKOFF_FIRST_MS,
      cap: BACKOFF_CAP_MS,
      giveUp: GIVE_UP_MS,
      random,
    });
    this.#ssrc = Math.floor(random() * 0x1_0000_0000);
  }

  get state() {
    return this.#state;
  }

  start() {
    if (this.#state.phase !== "idle") throw new Error("a stream starts once");
    this.#tell({ type: "take", offset: 0, fresh: true });
    this.#connect();
  }

  /** @param {Int16Array} samples One frame of 20 ms, mono, 16 kHz. */
  push(samples) {
    if (this.#state.phase === "ended" || this.#leaving) return;
    this.#store.push(littleEndian(samples));
    this.#pump();
  }

  /** Send what is left, wait for the last final, and end. A second call ends without waiting. */
  leave() {
    if (this.#state.phase === "ended") return;
    if (this.#leaving || !this.#everJoined) {
      this.#end(this.#leaving ? "abandoned" : "left");
      return;
    }
    this.#leaving = true;
    this.#deadlines.set("leave", LEAVE_DEADLINE_MS, () => this.#end("unconfirmed"));
    this.#become({ phase: "finishing", retryAt: null });
    if (this.#socket === null) this.#connect();
    else this.#pump();
  }

  /** Do not wait for the next attempt. */
  retryNow() {
    if (this.#state.phase === "waiting") this.#connect();
  }

  // One connection

  #connect() {
    this.#deadlines.cancel("retry");
    if (!this.#leaving) this.#become({ phase: "connecting", again: this.#everJoined || this.#backoff.hasFailed });
    const socket = this.#openSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const current = () => this.#socket === socket;
    socket.onopen = () => current() && this.#join();
    socket.onmessage = ({ data }) => current() && this.#receive(data);
    socket.onclose = () => current() && this.#connectionLost(null);
    this.#deadlines.set("join", JOIN_DEADLINE_MS, () => this.#connectionLost(null));
  }

  #join() {
    this.#say({
      type: "join",
      ...(this.#session === null ? {} : { sessionId: this.#session.id }),
      ...(this.#key === "" ? {} : { token: this.#key }),
      role: "speaker",
      language: this.#language,
      format: { codec: "pcm_s16le", sampleRate: SAMPLE_RATE, channels: 1 },
      framing: "rtp",
      ...(this.#session === null
        ? {}
        : { resume: { token: this.#session.token, lastEventId: this.#lastEventId } }),
    });
  }

  /**
   * @param {number | null} retryAfter Seconds the server wants to be left alone for.
   */
  #connectionLost(retryAfter) {
    this.#disconnect();
    if (this.#lastError !== null && !this.#lastError.retryable && FATAL.has(this.#lastError.code)) {
      this.#end("closed", this.#lastError);
      return;
    }
    const now = this.#timers.now();
    const delay = this.#backoff.failed(now, 1000 * (retryAfter ?? 0));
    if (delay === null) {
      this.#end("unreachable");
      return;
    }
    this.#become({ phase: this.#leaving ? "finishing" : "waiting", retryAt: now + delay });
    this.#deadlines.set("retry", delay, () => this.#connect());
  }

  #disconnect() {
    const socket = this.#socket;
    this.#socket = null;
    this.#joined = false;
    this.#leaveSent = false;
    this.#paused = false;
    this.#deadlines.cancel("join", "ping", "pause", "pump", "over");
    socket?.close();
  }

  /**
   * @param {EndReason} reason
   * @param {WireError | null} error
   */
  #end(reason, error = null) {
    this.#disconnect();
    this.#deadlines.cancelAll();
    this.#become({ phase: "ended", reason, error });
  }

  // Frames out

  #pump() {
    const socket = this.#socket;
    if (!this.#joined || this.#paused || socket === null) return;
    const now = this.#timers.now();
    this.#skipMissing();
    while (this.#cursor < this.#store.end && socket.bufferedAmount < SOCKET_BYTES && this.#allowance.take(now)) {
      socket.send(this.#packet(this.#cursor++));
    }
    if (this.#cursor < this.#store.end) {
      if (!this.#deadlines.has("pump")) this.#deadlines.set("pump", PUMP_EVERY_MS, () => this.#pump());
    } else if (this.#leaving && !this.#leaveSent) {
      this.#leaveSent = true;
      this.#say({ type: "leave" });
    }
  }

  /** @param {number} index In the store. */
  #packet(index) {
    const sequence = index - this.#base;
    return packet(this.#store.at(index), {
      sequence,
      timestamp: sequence * FRAME_SAMPLES,
      ssrc: this.#ssrc,
      payloadType: PAYLOAD_TYPE,
    });
  }

  #skipMissing() {
    const missing = this.#store.start - this.#cursor;
    if (missing <= 0) return;
    this.#cursor = this.#store.start;
    this.#tell({ type: "lost", seconds: missing / FRAMES_PER_SECOND });
  }

  // Messages in

  /** @param {unknown} data */
  #receive(data) {
    this.#lastMessageAt = this.#timers.now();
    const message = parseObject(data);
    switch (message["type"]) {
      case "joined":
        return this.#onJoined(message);
      case "ack":
        return this.#onAck(message["seq"]);
      case "transcript":
        return this.#onTranscript(message);
      case "speaking":
        if (this.#isNews(message)) this.#tell({ type: "speaking", active: message["active"] === true });
        return;
      case "error":
        return this.#onError(readError(message));
      case "closing":
        if (message["reconnect"] !== true) this.#end("closed", this.#lastError);
        return;
      case "left":
        if (message["participantId"] === this.#participantId) this.#onLeft(message["reason"]);
        return;
      default: // a newer server may say more
    }
  }

  /** @param {Record<string, unknown>} message */
  #onJoined({ sessionId, participantId, resumeToken, nextSeq }) {
    this.#deadlines.cancel("join");
    const fresh = this.#session === null;
    if (fresh) {
      this.#lastEventId = 0;
      this.#base = this.#everJoined ? Math.max(this.#store.start, this.#heard) : 0;
      if (this.#everJoined) this.#tell({ type: "take", offset: this.#base / FRAMES_PER_SECOND, fresh: false });
    }
    this.#session = { id: String(sessionId), token: String(resumeToken) };
    this.#participantId = String(participantId);
    this.#everJoined = true;
    this.#joined = true;
    const wanted = typeof nextSeq === "number" && nextSeq >= 0 ? nextSeq : 0;
    this.#cursor = Math.min(this.#base + wanted, this.#store.end);
    this.#safe = this.#cursor;
    this.#allowance.fill(this.#timers.now());
    this.#ping();
    this.#become(this.#leaving ? { phase: "finishing", retryAt: null } : { phase: "live" });
    this.#pump();
  }

  /** @param {unknown} seq */
  #onAck(seq) {
    if (typeof seq !== "number") return;
    this.#safe = Math.max(this.#safe, this.#base + seq + 1);
    this.#backoff.succeeded();
    this.#lastError = null;
  }

  /** @param {Record<string, unknown>} message */
  #onTranscript(message) {
    const result = readResult(message);
    if (result === null || !this.#isNews(message)) return;
    if (!result.isPartial) {
      this.#heard = Math.max(this.#heard, this.#base + Math.floor(result.end * FRAMES_PER_SECOND));
    }
    this.#tell({ type: "result", result });
  }

  /** @param {unknown} reason Why the server says this stream is over. */
  #onLeft(reason) {
    if (this.#leaveSent) {
      this.#end("left");
    } else if (reason === "shutdown" || reason === "lost" || reason === "failed") {
      this.#session = null;
      this.#connectionLost(null);
    } else {
      this.#end("closed", this.#lastError);
    }
  }

  /** The server has ended this stream, and `left` is on its way; should it not come, another session begins. */
  #onOver() {
    if (this.#deadlines.has("over")) return;
    this.#deadlines.set("over", JOIN_DEADLINE_MS, () => {
      this.#session = null;
      this.#connectionLost(null);
    });
  }

  /** @param {WireError} error */
  #onError(error) {
    this.#lastError = error;
    if (!this.#joined) {
      this.#onRefusal(error);
    } else if (error.code === "conflict") {
      this.#onOver();
    } else if (error.code === "rate_limited") {
      this.#paused = true;
      this.#deadlines.set("pause", error.retryAfter === null ? PAUSE_MS : 1000 * error.retryAfter, () => {
        this.#paused = false;
        this.#cursor = this.#safe;
        this.#pump();
      });
    } else {
      this.#tell({ type: "error", error });
      if (error.code === "duration_limit" && !this.#leaving) {
        this.#cursor = this.#store.end; // the server takes no more
        this.leave();
      }
    }
  }

  /** @param {WireError} error Why the server does not let this stream join. */
  #onRefusal(error) {
    if (this.#session !== null && FORGOTTEN.has(error.code)) {
      this.#session = null;
      this.#lastError = null;
      this.#deadlines.set("join", JOIN_DEADLINE_MS, () => this.#connectionLost(null));
      this.#join();
    } else if (this.#everJoined && error.retryable) {
      this.#connectionLost(error.retryAfter);
    } else {
      this.#end("refused", error);
    }
  }

  // Small things

  /**
   * Whether an event of the log was not told before.
   *
   * @param {Record<string, unknown>} message
   */
  #isNews({ eventId }) {
    if (typeof eventId !== "number") return true;
    if (eventId <= this.#lastEventId) return false;
    this.#lastEventId = eventId;
    return true;
  }

  #ping() {
    this.#deadlines.set("ping", PING_EVERY_MS, () => {
      if (this.#timers.now() - this.#lastMessageAt > SILENT_SERVER_MS) {
        this.#connectionLost(null);
      } else {
        this.#say({ type: "ping", t: Math.round(this.#timers.now()) });
        this.#ping();
      }
    });
  }

  /** @param {object} message */
  #say(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {StreamState} state */
  #become(state) {
    this.#state = state;
    this.#tell({ type: "state", state });
  }
}

/** Refusals of a resume after which only a new session helps. */
const FORGOTTEN = new Set(["not_found", "conflict", "unauthorized", "forbidden"]);
/** Errors after which the server does not take this stream back. */
const FATAL = new Set(["duration_limit", "too_large", "unauthorized", "forbidden", "unsupported_format"]);

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * @param {Int16Array} samples
 * @returns {Uint8Array}
 */
function littleEndian(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  if (HOST_IS_LITTLE_ENDIAN) return bytes;
  const swapped = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += 2) {
    swapped[i] = /** @type {number} */ (bytes[i + 1]);
    swapped[i + 1] = /** @type {number} */ (bytes[i]);
  }
  return swapped;
}
