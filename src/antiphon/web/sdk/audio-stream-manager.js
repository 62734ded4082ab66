/**
 * Live audio to the server's `/audio-stream`, its words back, and what the others of a room say, over any number of
 * connections.
 *
 *     const stream = new AudioStreamManager({ server: "https://voice.example", language: "en-US" });
 *     stream.on("transcript", ({ text, isPartial }) => show(text, isPartial));
 *     await stream.connect();
 *     capture.on("frame", ({ data }) => stream.sendAudioData(data));
 *
 * Every frame of the last 30 seconds is kept. After a lost connection the stream resumes its session and sends again from
 * the frame the server asks for; where the server has forgotten the session, a new one begins with the audio that
 * followed the last final, so that no words are missing and none come twice.
 */

import { RtcError } from "./errors.js";
import { Emitter } from "./events.js";
import { FrameCutter } from "./frame-cutter.js";
import { ReplyAudio } from "./reply-audio.js";
import { readResult } from "./results.js";
import { SendBuffer } from "./send-buffer.js";
import { StreamMeter } from "./stream-meter.js";
import { Allowance, Backoff, Deadlines, systemTimers } from "./timing.js";
import { parseObject } from "./wire.js";

const JOIN_DEADLINE_MS = 10_000;
const LEAVE_DEADLINE_MS = 20_000;
const PING_EVERY_MS = 5_000;
const SILENT_SERVER_MS = 15_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 15_000;
const GIVE_UP_MS = 300_000;
const PAUSE_MS = 1_000;
const BUFFER_MS = 30_000;

/** Times real time at which a backlog is sent: what the server lets come for long, unless it is told otherwise. */
const CATCH_UP = 4;
const PUMP_EVERY_MS = 20;
/** Bytes that may wait in the socket, as many as these seconds of sound have; beyond it frames wait in the buffer. */
const SOCKET_BYTES = { least: 8 * 1024, most: 128 * 1024 };
const SOCKET_SECONDS = 2;

/** @typedef {import("./audio-format.js").AudioFormat} AudioFormat */
/** @typedef {import("./stream-events.js").EndReason} EndReason */
/** @typedef {import("./stream-events.js").StreamEvents} StreamEvents */
/** @typedef {import("./stream-events.js").StreamState} StreamState */

/**
 * @typedef {object} StreamOptions
 * @property {string | URL} [server] Its address; that of the page by default.
 * @property {string} [key] Access key; "" for none.
 * @property {string} [language] Such as `en-US`; the server's own by default.
 * @property {string} [role] Told to readers of the session.
 * @property {Partial<AudioFormat>} [format] What is sent: mono PCM at 16 kHz in frames of 20 ms, by default. A capture
 *   has the right one as its `format`.
 * @property {boolean} [interimResults] Whether words are told while they are being said.
 * @property {number} [bufferMs] Milliseconds of sound that are kept for a connection that is away.
 * @property {{roomId: string, userId?: string, mode?: "relay" | "mix", listen?: boolean, captions?: unknown}} [room] To
 *   be heard in.
 * @property {Partial<AudioFormat>} [reply] What is to be sent back; channels are always 1.
 * @property {import("./audio-format.js").AudioSink} [player] Gets what is sent back.
 * @property {(url: string) => WebSocket} [openSocket]
 * @property {import("./timing.js").Timers} [timers]
 * @property {() => number} [random] 0 to 1.
 */

/** @extends {Emitter<StreamEvents>} */
export class AudioStreamManager extends Emitter {
  #options;
  #url;
  #timers;
  #openSocket;
  #buffer;
  #meter;
  #cutter;
  #reply;
  /** @type {StreamState} */
  #state = { phase: "idle" };
  /** @type {WebSocket | null} */
  #socket = null;
  #joined = false;

  /** @type {{id: string, token: string} | null} What resumes the session. */
  #session = null;
  /** What `connect` was told. @type {string | null} */
  #wanted = null;
  #everJoined = false;
  #participantId = "";
  #lastEventId = 0;

  #allowance;
  #deadlines;
  #backoff;
  #paused = false;
  #muted = false;
  #leaving = false;
  #leaveSent = false;
  #lastMessageAt = 0;
  /** @type {RtcError | null} */
  #lastError = null;
  /** Who waits for the first `joined`. @type {{resolve: () => void, reject: (error: RtcError) => void} | null} */
  #connecting = null;
  /** @type {number | null} */
  #bitrate = null;

  /** @param {StreamOptions} [options] */
  constructor(options = {}) {
    super();
    const { server = globalThis.location?.href, format, timers = systemTimers, random = Math.random } = options;
    if (server === undefined) throw new TypeError("server must be given outside a page");
    const url = new URL("/audio-stream", server);
    url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
    this.#url = url.href;
    this.#options = { role: "speaker", key: "", reply: null, room: null, ...options };
    /** What is sent. @type {Readonly<AudioFormat>} */
    this.format = Object.freeze({ codec: "pcm_s16le", sampleRate: 16_000, channels: 1, frameMs: 20, ...format });
    this.#openSocket = options.openSocket ?? ((address) => new WebSocket(address));
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: GIVE_UP_MS, random });
    const ssrc = Math.floor(random() * 0x1_0000_0000);
    this.#buffer = new SendBuffer({
      format: this.format,
      rtp: this.#rtp,
      bufferMs: options.bufferMs ?? BUFFER_MS,
      ssrc,
    });
    this.#allowance = new Allowance(CATCH_UP * this.#buffer.rate, Math.max(1, this.#buffer.rate));
    this.#meter = new StreamMeter(this.#buffer, this.format.frameMs);
    this.#cutter = new FrameCutter(this.format, (frame) => this.#buffer.push(frame));
    this.#reply = new ReplyAudio(options.player ?? null, (error) => this.emit("error", { error }));
  }

  get state() {
    return this.#state;
  }

  /** Of the session, on which others can join it; null before the first connection. */
  get sessionId() {
    return this.#session?.id ?? null;
  }

  /** What the server calls this stream; "" before the first connection. */
  get participantId() {
    return this.#participantId;
  }

  get muted() {
    return this.#muted;
  }

  /** Seconds of sound that were given to it. */
  get seconds() {
    return this.#buffer.taken / this.#buffer.rate;
  }

  /**
   * Join the server. It is tried again by itself from then on; the events tell.
   *
   * @param {string} [sessionId] To take part in; a session of its own by default.
   * @returns {Promise<void>} Resolves when the server has taken the stream for the first time; a promise that nobody waits for does
   *   no harm.
   * @throws {RtcError} The server refuses it, or it was left before; or, at once, it was connected before.
   */
  connect(sessionId) {
    if (this.#state.phase !== "idle") throw new RtcError("already_connected");
    this.#wanted = sessionId ?? null;
    /** @type {Promise<void>} */
    const joined = new Promise((resolve, reject) => {
      this.#connecting = { resolve, reject };
    });
    joined.catch(() => undefined);
    this.emit("take", { offset: 0, fresh: true });
    this.#connect();
    return joined;
  }

  /**
   * Send sound, or keep it until it can be sent. PCM may come in any portion; an Opus packet has to come alone.
   *
   * @param {Int16Array | Uint8Array | ArrayBuffer} audioData In the stream's `format`.
   * @returns {boolean} Whether it was taken: a stream that was left takes no more.
   * @throws {RtcError} `bad_audio`: it can't be in that format.
   */
  sendAudioData(audioData) {
    if (this.#state.phase === "ended" || this.#leaving) return false;
    this.#cutter.push(audioData);
    this.#pump();
    return true;
  }

  /**
   * Let the server take what comes as silence. Time goes on meanwhile.
   */
  mute() {
    this.#setMuted(true);
  }

  unmute() {
    this.#setMuted(false);
  }

  /**
   * Ask for another bitrate of what is sent back; what is sent is the capture's to change.
   *
   * @param {number} bitrate Bits a second.
   */
  setBitrate(bitrate) {
    this.#bitrate = Math.round(bitrate);
    if (this.#joined) this.#say({ type: "bitrate-change", bitrate: this.#bitrate });
  }

  /** Tell the server what was measured here. @param {Record<string, number | null>} values */
  sendStats(values) {
    if (this.#joined) this.#say({ type: "stats", ...values });
  }

  /** Say anything else that the door knows. @param {Record<string, unknown> & {type: string}} message @returns {boolean} Whether there was a connection. */
  send(message) {
    if (this.#joined) this.#say(message);
    return this.#joined;
  }

  /** Measure the round trip; `round-trip` tells, and `conditions`. */
  ping() {
    if (!this.#joined) return;
    const t = Math.round(this.#timers.now());
    this.#meter.ping(t);
    this.#say({ type: "ping", t });
  }

  /**
   * What the way to the server was like since the same looker's last call.
   *
   * @param {object} [looker] Who asks; whoever does not say is one with all others who do not.
   * @returns {import("./stream-events.js").StreamConditions}
   */
  conditions(looker = this) {
    return this.#meter.look(looker, this.#timers.now(), this.#socket?.bufferedAmount ?? 0);
  }

  /** Send what is left, wait for the last final, and end. A second call ends without waiting. */
  leave() {
    if (this.#state.phase === "ended") return;
    if (this.#leaving || !this.#everJoined) {
      this.#end(this.#leaving ? "abandoned" : "left");
      return;
    }
    this.#cutter.finish();
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

  get #rtp() {
    return this.format.codec === "opus" || this.format.codec === "pcm_s16le";
  }

  #connect() {
    this.#deadlines.cancel("retry");
    if (!this.#leaving) this.#become({ phase: "connecting", again: this.#everJoined || this.#backoff.hasFailed });
    const socket = this.#openSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const current = () => this.#socket === socket;
    socket.onopen = () => current() && this.#join();
    socket.onmessage = (event) => current() && this.handleMessage(event);
    socket.onclose = () => current() && this.#connectionLost(null);
    this.#deadlines.set("join", JOIN_DEADLINE_MS, () => this.#connectionLost(null));
  }

  #join() {
    const { key, role, language, room, reply, interimResults } = this.#options;
    const { codec, sampleRate, channels } = this.format;
    const sessionId = this.#session?.id ?? this.#wanted;
    this.#say({
      type: "join",
      ...(sessionId === null ? {} : { sessionId }),
      ...(key === "" ? {} : { token: key }),
      role,
      ...(language === undefined ? {} : { language }),
      format: { codec, sampleRate, channels },
      framing: this.#rtp ? "rtp" : "plain",
      ...(interimResults === undefined ? {} : { interimResults }),
      ...(reply === null ? {} : { reply: { codec: "opus", sampleRate: 48_000, frameMs: 20, ...reply } }),
      ...(room ?? {}),
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
    this.#meter.disconnected();
    this.#deadlines.cancel("join", "ping", "pause", "pump", "over");
    socket?.close();
  }

  /**
   * @param {EndReason} reason
   * @param {RtcError | null} error
   */
  #end(reason, error = null) {
    this.#disconnect();
    this.#deadlines.cancelAll();
    this.#become({ phase: "ended", reason, error });
    this.#connecting?.reject(error ?? new RtcError(reason === "unreachable" ? "unreachable" : "closed"));
    this.#connecting = null;
  }

  // Frames out

  #pump() {
    const socket = this.#socket;
    if (!this.#joined || this.#paused || socket === null) return;
    const now = this.#timers.now();
    this.#tellLost(this.#buffer.skipMissing());
    while (this.#buffer.waiting > 0 && socket.bufferedAmount < this.#socketRoom && this.#allowance.take(now)) {
      socket.send(this.#buffer.next());
    }
    if (this.#buffer.waiting > 0) {
      if (!this.#deadlines.has("pump")) this.#deadlines.set("pump", PUMP_EVERY_MS, () => this.#pump());
    } else if (this.#leaving && !this.#leaveSent) {
      this.#leaveSent = true;
      this.#say({ type: "leave" });
    }
  }

  /** Bytes that may wait in the socket: what is said of the stream waits behind them. */
  get #socketRoom() {
    const enough = this.#meter.bytesPerFrame * this.#buffer.rate * SOCKET_SECONDS;
    return Math.min(SOCKET_BYTES.most, Math.max(SOCKET_BYTES.least, enough));
  }

  /** @param {number} frames */
  #tellLost(frames) {
    if (frames > 0) this.emit("lost", { frames, seconds: frames / this.#buffer.rate, total: this.#buffer.lost });
  }

  // Messages in

  /** Takes what comes over the connection. @param {MessageEvent} event */
  handleMessage({ data }) {
    this.#lastMessageAt = this.#timers.now();
    if (data instanceof ArrayBuffer) return this.#onAudio(new Uint8Array(data));
    const message = parseObject(data);
    switch (message["type"]) {
      case "joined":
        return this.#onJoined(message);
      case "ack":
        return this.#onAck(message["seq"]);
      case "transcript":
        return this.#onTranscript(message);
      case "speaking":
        return this.#onSpeaking(message);
      case "error":
        return this.#onError(RtcError.fromWire(message));
      case "closing":
        if (message["reconnect"] !== true) this.#end("closed", this.#lastError);
        return;
      case "left":
        if (message["participantId"] === this.#participantId) this.#onLeft(message["reason"]);
        return;
      case "pong":
        return this.#onPong(message["t"]);
      case "clear":
        this.#reply.clear();
        return this.emit("clear", {});
      case "dropped":
        return this.#onDropped(message);
      case "stats":
        return this.#meter.hearServer(message);
      case "bitrate-change":
        if (typeof message["bitrate"] === "number") this.emit("bitrate-change", { bitrate: message["bitrate"] });
        return;
      default: // of a room, or of a newer server
        if (typeof message["type"] === "string") {
          this.emit("message", { message: /** @type {Record<string, unknown> & {type: string}} */ (message) });
        }
    }
  }

  /** @param {Record<string, unknown>} message */
  #onJoined({ sessionId, participantId, resumeToken, nextSeq, reply }) {
    this.#deadlines.cancel("join");
    const fresh = this.#session === null;
    if (fresh) {
      this.#lastEventId = 0;
      const { offset, lost } = this.#buffer.begin(!this.#everJoined);
      this.#tellLost(lost);
      if (this.#everJoined) this.emit("take", { offset, fresh: false });
    }
    this.#session = { id: String(sessionId), token: String(resumeToken) };
    this.#participantId = String(participantId);
    this.#everJoined = true;
    this.#joined = true;
    this.#buffer.goOnFrom(typeof nextSeq === "number" && nextSeq >= 0 ? nextSeq : 0);
    this.#allowance.fill(this.#timers.now());
    this.#reply.expect(reply, this.#options.reply?.frameMs ?? 20);
    if (this.#muted) this.#say({ type: "mute" });
    if (this.#bitrate !== null) this.#say({ type: "bitrate-change", bitrate: this.#bitrate });
    this.#keepPinging();
    this.#become(this.#leaving ? { phase: "finishing", retryAt: null } : { phase: "live" });
    this.#connecting?.resolve();
    this.#connecting = null;
    this.emit("joined", { sessionId: this.#session.id, participantId: this.#participantId, resumed: !fresh });
    this.#pump();
  }

  /** @param {unknown} seq */
  #onAck(seq) {
    if (typeof seq !== "number") return;
    this.#buffer.acknowledge(seq);
    this.#backoff.succeeded();
    this.#lastError = null;
  }

  /** @param {Record<string, unknown>} message */
  #onTranscript(message) {
    const result = readResult(message);
    // what another speaker of the room says is of another log
    const foreign = typeof message["sessionId"] === "string" && message["sessionId"] !== this.#session?.id;
    if (result === null || (!foreign && !this.#isNews(message))) return;
    const own = !foreign && (result.speaker === null || result.speaker === this.#participantId);
    if (own && !result.isPartial) this.#buffer.hearUntil(result.end);
    const eventId = typeof message["eventId"] === "number" ? message["eventId"] : null;
    const user = typeof message["userId"] === "string" ? message["userId"] : "";
    this.emit("transcript", { ...result, eventId, own, user });
  }

  /** @param {Record<string, unknown>} message */
  #onSpeaking(message) {
    if (!this.#isNews(message)) return;
    const participantId = String(message["participantId"] ?? "");
    const own = participantId === this.#participantId;
    this.emit("speaking", { participantId, active: message["active"] === true, own });
  }

  /** @param {unknown} t */
  #onPong(t) {
    if (typeof t !== "number") return;
    this.emit("round-trip", { milliseconds: this.#meter.pong(t, this.#timers.now()) });
  }

  /** @param {Record<string, unknown>} message */
  #onDropped({ packets }) {
    if (typeof packets !== "number" || !(packets > 0)) return;
    this.#meter.dropped += packets;
    this.#reply.miss(packets);
    this.emit("dropped", { packets, total: this.#meter.dropped });
  }

  /** @param {unknown} why The server's reason for the end of this stream. */
  #onLeft(why) {
    if (this.#leaveSent) {
      this.#end("left");
    } else if (why === "shutdown" || why === "lost" || why === "failed") {
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

  /** @param {RtcError} error */
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
        this.#buffer.rewind();
        this.#pump();
      });
    } else {
      this.emit("error", { error });
      if (error.code === "duration_limit" && !this.#leaving) {
        this.#buffer.discard(); // the server takes no more
        this.leave();
      }
    }
  }

  /** @param {RtcError} error Why the server does not let this stream join. */
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

  /** @param {Uint8Array} frame Of the reply. */
  #onAudio(frame) {
    if (this.#reply.format === null) return;
    this.#meter.hear(frame);
    this.#reply.push(frame);
    this.emit("audio", { frame, format: this.#reply.format });
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

  /** @param {boolean} muted */
  #setMuted(muted) {
    if (this.#muted === muted) return;
    this.#muted = muted;
    if (this.#joined) this.#say({ type: muted ? "mute" : "unmute" });
  }

  #keepPinging() {
    this.#deadlines.set("ping", PING_EVERY_MS, () => {
      if (this.#timers.now() - this.#lastMessageAt > SILENT_SERVER_MS) {
        this.#connectionLost(null);
      } else {
        this.ping();
        this.#keepPinging();
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
    this.emit("state", { state });
  }
}

/** Refusals of a resume after which only a new session helps. */
const FORGOTTEN = new Set(["not_found", "conflict", "unauthorized", "forbidden"]);
/** Errors after which the server does not take this stream back. */
const FATAL = new Set(["duration_limit", "too_large", "unauthorized", "forbidden", "unsupported_format"]);
