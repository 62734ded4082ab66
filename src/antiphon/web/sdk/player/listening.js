/**
 * The listener's end of `/ws-audio`: one source, over as many connections as it takes.
 *
 * It knows where in the source it is. A connection that is lost, or a server that is, is looked for again, and asked for the
 * place where it was lost; a little before that, so that the decoder has found its feet when the new begins.
 */

import { Backoff, Deadlines, systemTimers } from "../timing.js";
import { parseObject, readError } from "../wire.js";
import { packetDuration } from "./opus-packet.js";

const OPEN_DEADLINE_MS = 10_000;
const PING_EVERY_MS = 5_000;
/** A server that is there has answered a ping by then. */
const SILENT_SERVER_MS = 12_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 8_000;
/** Then it is given up. */
const GIVE_UP_MS = 180_000;
/** And a server that has never answered, then. */
const GIVE_UP_FIRST_MS = 30_000;
/** Sound before the place that is wanted, for the decoder alone. */
const RUN_UP_SECONDS = 0.08;
const OPUS_CLOCK = 48_000;
/** A connection or a server that went away: it may be back (RFC 6455, section 7.4.1, and its registry). */
const GONE = new Set([1001, 1005, 1006, 1012, 1013]);

/** @typedef {import("./events.js").Started} Started */
/** @typedef {import("../stream-player.js").ListenOptions} ListenOptions */
/** @typedef {import("./sound-path.js").Tag} Tag */
/** @typedef {import("../wire.js").WireError} WireError */

/**
 * What it tells.
 *
 * @typedef {{type: "started", started: Started, again: boolean} | {type: "packet", packet: Uint8Array, tag: Tag} |
 *   {type: "dropped", packets: number, total: number} | {type: "clear"} | {type: "bitrate", bitrate: number} |
 *   {type: "saying", id: number, text: string} | {type: "said", id: number} | {type: "over", reason: string} |
 *   {type: "waiting", attempt: number, delay: number} | {type: "failed", error: WireError} |
 *   {type: "error", error: WireError}} ListeningEvent
 */

export class Listening {
  #url;
  #options;
  #tell;
  #openSocket;
  #timers;
  #deadlines;
  #backoff;
  /** @type {WebSocket | null} */
  #socket = null;
  /** Of this connection. @type {Started | null} */
  #started = null;
  #everStarted = false;
  #attempt = 0;
  /** Milliseconds, when the first attempt failed. @type {number | null} */
  #triedSince = null;
  #held = false;
  #over = false;
  /** Seconds into the source, where what was taken ends. */
  #next = 0;
  /** Seconds into the source, where the next packet begins. */
  #coming = 0;
  /** Seconds by which a packet's sound is before the packet's place. */
  #lookAhead = 0;
  /** @type {WireError | null} */
  #fault = null;
  /** Said that it goes, and that another may come. */
  #leaving = false;
  #reason = "complete";

  packets = 0;
  bytes = 0;
  lost = 0;
  reconnects = 0;
  /** Milliseconds. @type {number | null} */
  roundTrip = null;

  /**
   * @param {object} options
   * @param {string} options.server Its address.
   * @param {string} options.key Access key; "" for none.
   * @param {ListenOptions} options.wanted
   * @param {(event: ListeningEvent) => void} options.tell
   * @param {(url: string) => WebSocket} [options.openSocket]
   * @param {import("../timing.js").Timers} [options.timers]
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor({ server, key, wanted, tell, openSocket, timers = systemTimers, random = Math.random }) {
    this.#url = address(server, key, wanted);
    this.#options = wanted;
    this.#next = wanted.position ?? 0;
    this.#tell = tell;
    this.#openSocket = openSocket ?? ((url) => new WebSocket(url));
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: GIVE_UP_MS, random });
  }

  /** Be there, or be there again. */
  open() {
    this.#held = false;
    if (!this.#over && this.#socket === null) this.#connect();
  }

  /** Receive nothing until `open`, which goes on where this was called, or with what is live then. @param {number} [at] */
  hold(at) {
    this.#held = true;
    if (at !== undefined && this.#everStarted) this.#next = at;
    this.#drop();
  }

  retryNow() {
    if (this.#deadlines.has("retry")) this.#connect();
  }

  close() {
    this.#over = true;
    this.#drop();
  }

  /** @param {Record<string, unknown>} message Lost while there is no connection. @returns {boolean} Whether it was sent. */
  send(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    this.#deadlines.cancel("retry");
    const url = new URL(this.#url);
    const from = this.#everStarted ? Math.max(0, this.#next + this.#lookAhead - RUN_UP_SECONDS) : this.#next;
    if (from > 0 && !this.#isLive) url.searchParams.set("position", String(Math.round(from * 1e6) / 1e6));
    const socket = this.#openSocket(url.href);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#started = null;
    this.#fault = null;
    this.#leaving = false;
    this.#deadlines.set("open", OPEN_DEADLINE_MS, () => this.#lost());
    const current = () => this.#socket === socket;
    socket.onmessage = ({ data }) => current() && (typeof data === "string" ? this.#hear(data) : this.#take(data));
    socket.onclose = ({ code }) => current() && this.#closed(code);
    socket.onerror = () => undefined; // onclose follows
  }

  get #isLive() {
    const { source } = this.#options;
    return source.startsWith("room:") || source.trim() === "say:";
  }

  /** @param {ArrayBuffer} data */
  #take(data) {
    this.#expectServer();
    if (this.#started === null) return;
    this.#fault = null; // it was not the last word
    const packet = new Uint8Array(data);
    this.packets++;
    this.bytes += packet.length;
    const duration = (packetDuration(packet) ?? this.#started.frameMs) / 1000;
    const position = this.#coming;
    this.#coming += duration;
    if (this.#coming <= this.#next + 1e-6 && this.#isRunUp) {
      return this.#tell({ type: "packet", packet, tag: { duration, position, cut: duration } });
    }
    const cut = this.#isRunUp ? Math.max(0, this.#next - position) : 0;
    const missing = Math.max(0, position - this.#next);
    this.#next = this.#coming;
    this.#isRunUp = false;
    this.#tell({ type: "packet", packet, tag: { duration, position, cut, missing: missing > 1e-6 ? missing : 0 } });
  }

  /** Until what comes is beyond what was taken before. */
  #isRunUp = false;

  /** @param {string} text */
  #hear(text) {
    this.#expectServer();
    const message = parseObject(text);
    switch (message["type"]) {
      case "started":
        return this.#begin(message);
      case "dropped": {
        const packets = count(message["packets"]);
        this.lost += packets;
        this.#coming += (packets * (this.#started?.frameMs ?? 20)) / 1000;
        return this.#tell({ type: "dropped", packets, total: count(message["total"]) });
      }
      case "clear":
        return this.#tell({ type: "clear" });
      case "bitrate-change":
        return this.#tell({ type: "bitrate", bitrate: count(message["bitrate"]) });
      case "saying":
        return this.#tell({ type: "saying", id: count(message["id"]), text: String(message["text"] ?? "") });
      case "said":
        return this.#tell({ type: "said", id: count(message["id"]) });
      case "pong":
        this.roundTrip = typeof message["t"] === "number" ? Math.max(0, this.#timers.now() - message["t"]) : null;
        return;
      case "closing":
        this.#leaving = message["reconnect"] !== false;
        this.#reason = String(message["reason"] ?? "closed");
        return;
      case "ended":
        this.#reason = String(message["reason"] ?? "complete");
        if (this.#reason === "shutdown") this.#leaving = true;
        return;
      case "error": {
        const error = readError(message);
        this.#fault = error;
        // before the first packet, or fatal: the close that follows says which
        if (this.#started !== null) this.#tell({ type: "error", error });
      }
    }
  }

  /** @param {Record<string, unknown>} message */
  #begin(message) {
    const { source, sampleRate, frameMs, bitrate, live, duration, position, preSkip } = message;
    /** @type {Started} */
    const started = {
      source: String(source ?? this.#options.source),
      codec: "opus",
      sampleRate: count(sampleRate) || OPUS_CLOCK,
      frameMs: count(frameMs) || 20,
      bitrate: count(bitrate),
      live: live === true,
      duration: typeof duration === "number" ? duration : null,
      position: count(position),
    };
    this.#deadlines.cancel("open");
    this.#backoff.succeeded();
    this.#attempt = 0;
    const again = this.#everStarted;
    this.#everStarted = true;
    this.#started = started;
    this.#fault = null;
    // packets begin with what the encoder has looked ahead for
    this.#lookAhead = count(preSkip) / OPUS_CLOCK;
    this.#coming = started.position - this.#lookAhead;
    if (started.live || !again) this.#next = started.live ? this.#coming : Math.max(this.#next, started.position);
    this.#isRunUp = !started.live;
    if (again) this.reconnects++;
    this.#ping();
    this.#tell({ type: "started", started, again });
  }

  #ping() {
    this.#deadlines.set("ping", PING_EVERY_MS, () => this.#ping());
    this.send({ type: "ping", t: this.#timers.now() });
  }

  #expectServer() {
    if (this.#started === null) return;
    this.#deadlines.set("silence", SILENT_SERVER_MS, () => this.#lost());
  }

  /** @param {number} code Of the WebSocket. */
  #closed(code) {
    const fault = this.#fault;
    if (fault !== null && !GONE.has(code)) {
      if (fault.retryable) return this.#lost(1000 * (fault.retryAfter ?? 0));
      this.close();
      return this.#tell({ type: "failed", error: fault });
    }
    if (code === 1000 && !this.#leaving) {
      const heard = this.#everStarted;
      this.close();
      if (!heard) return this.#tell({ type: "failed", error: bare("closed_by_server") });
      return this.#tell({ type: "over", reason: this.#reason });
    }
    this.#lost();
  }

  /** @param {number} [least] Milliseconds to wait in any case. */
  #lost(least = 0) {
    const fault = this.#fault;
    this.#drop();
    if (this.#held || this.#over) return;
    const now = this.#timers.now();
    this.#triedSince ??= now;
    const delay = this.#backoff.failed(now, least);
    if (delay === null || (!this.#everStarted && now - this.#triedSince > GIVE_UP_FIRST_MS)) {
      this.close();
      return this.#tell({ type: "failed", error: fault ?? bare(this.#everStarted ? "gone" : "unreachable") });
    }
    this.#deadlines.set("retry", delay, () => this.#connect());
    this.#tell({ type: "waiting", attempt: ++this.#attempt, delay });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#started = null;
    this.#deadlines.cancelAll();
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

/**
 * @param {string} server
 * @param {string} key
 * @param {ListenOptions} wanted
 */
function address(server, key, wanted) {
  const url = new URL("/ws-audio", server);
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  const { position: _, ...rest } = wanted;
  for (const [name, value] of Object.entries(rest)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  url.searchParams.set("events", "true");
  if (key !== "") url.searchParams.set("token", key);
  return url.href;
}

/**
 * An error of this side, whose words are elsewhere.
 *
 * @param {string} code
 * @returns {WireError}
 */
export const bare = (code) => ({ code, message: "", retryable: true, retryAfter: null });

/** @param {unknown} value */
const count = (value) => (typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : 0);
