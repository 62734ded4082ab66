/**
 * Sound in whole files of ten seconds, each sent to the server and transcribed by itself (`audio-chunk` over Socket.IO), with
 * nothing lost and nothing doubled between them.
 *
 *     const recorder = new SegmentRecorder({ server: "https://voice.example" });
 *     recorder.on("transcription", ({ text, timestamp }) => show(new Date(timestamp), text));
 *     await recorder.start(); // from a click
 *     …
 *     await recorder.stop(); // sends the last one, shorter than the others
 *
 * Where the browser has WebCodecs, the files are cut between two packets of one encoder, and fit to the sample. Where it has
 * MediaRecorder alone, a recorder is started before the last one is stopped, so that files overlap by some milliseconds.
 */

import { AudioCapture } from "./audio-capture.js";
import { ContainerFiles } from "./container-files.js";
import { RtcError } from "./errors.js";
import { Emitter } from "./events.js";
import { canEncodeOpus } from "./opus-encoder.js";
import { SegmentCutter } from "./segment-cutter.js";
import { SegmentQueue } from "./segment-queue.js";
import { Socket } from "./socket.js";
import { systemTimers } from "./timing.js";
import { isRecord } from "./wire.js";

const LAST_WORDS_MS = 30_000;

/** @typedef {import("./segment-queue.js").Segment} Segment */

/**
 * @typedef {object} RecorderOptions
 * @property {string | URL} [server] Its address; that of the page by default.
 * @property {string} [key] Access key; "" for none.
 * @property {string} [sessionId] A new one by default.
 * @property {string} [language] Such as `en-US`; the server's own by default.
 * @property {number} [seconds] Of a segment: 10.
 * @property {number} [mostWaiting] Segments that are kept while the server is away: 30. Beyond it the oldest goes.
 * @property {number} [bitrate] Bits a second: 32 000.
 * @property {import("./audio-capture.js").Wanted} [source] The microphone, by default; two are mixed.
 * @property {string} [deviceId] Of the microphone; "" for the system's choice.
 * @property {"call" | "recognition" | "music"} [preset]
 * @property {import("./socket.js").SocketLike} [socket] Of `socket.js` or of socket.io-client, which stays the caller's.
 * @property {import("./timing.js").Timers} [timers]
 * @property {() => number} [random] 0 to 1.
 */

/**
 * @typedef {object} RecorderEvents
 * @property {Segment} segment Was recorded, and waits to be sent.
 * @property {{segment: Segment}} accepted
 * @property {{segment: Segment, reason: string}} skipped The server need not hear it: `too_small`, or `duplicate`.
 * @property {{segment: Segment, error: RtcError}} rejected For good.
 * @property {{error: RtcError, delay: number}} waiting It is tried again after `delay` milliseconds.
 * @property {{segment: Segment, total: number}} lost The server was away for so long that the oldest had to go.
 * @property {{text: string, timestamp: number, duration: number, eventId: number | null, [more: string]: unknown}} transcription
 *   `timestamp` is the segment's.
 * @property {{text: string, basedOn: number[], [more: string]: unknown}} suggestion
 * @property {{timestamp: number, reason: string}} transcription-dropped Too few words.
 * @property {{level: number}} level Root mean square of 20 ms, 0 to 1.
 * @property {{source: string, error: RtcError, left: number}} ended A source has ceased; after the last one it stops by itself.
 * @property {{connected: boolean}} connection
 * @property {{error: RtcError}} error
 */

/** @extends {Emitter<RecorderEvents>} */
export class SegmentRecorder extends Emitter {
  #options;
  #socket;
  #queue;
  /** @type {AudioCapture | null} */
  #capture = null;
  /** @type {SegmentCutter | ContainerFiles | null} */
  #cutter = null;
  /** When the recording began, in milliseconds since the Unix epoch. */
  #epoch = 0;
  #lastEventId = 0;
  /** @type {"new" | "starting" | "running" | "stopped"} */
  #state = "new";
  /** @type {Promise<void> | null} */
  #stopping = null;
  /** @type {[string, (...data: any[]) => void][]} */
  #listeners;

  /** @param {RecorderOptions} [options] */
  constructor(options = {}) {
    super();
    const { server = globalThis.location?.href, key = "", source = "microphone", timers = systemTimers } = options;
    if (server === undefined && options.socket === undefined) throw new TypeError("server must be given outside a page");
    this.#options = { seconds: 10, bitrate: 32_000, ...options, source };
    /** The session whose log gets the words. */
    this.sessionId = options.sessionId ?? randomName();
    const auth = () => (key === "" ? {} : { token: key });
    this.#socket = options.socket ?? new Socket(/** @type {string} */ (server), { auth, timers });
    this.#queue = new SegmentQueue({
      socket: this.#socket,
      about: () => this.#about,
      most: options.mostWaiting ?? 30,
      tell: ({ type, ...detail }) => this.emit(type, /** @type {never} */ (detail)),
      timers,
      random: options.random ?? Math.random,
    });
    this.#listeners = [
      ["connect", () => this.#connected(true)],
      ["disconnect", () => this.#connected(false)],
      ["connect_error", (error) => this.#refused(error)],
      ["transcription", (data) => this.#hear("transcription", data)],
      ["suggestion", (data) => this.#hear("suggestion", data)],
      ["transcription-dropped", (data) => this.#hear("transcription-dropped", data)],
      ["error", (data) => this.#wrong(data)],
    ];
  }

  get state() {
    return this.#state;
  }

  /** Segments that the server has not answered yet. */
  get waiting() {
    return this.#queue.waiting;
  }

  /**
   * Open the source, connect, and record. A server that is away is waited for.
   *
   * @throws {RtcError} What is in the way; its `action` says what to do about it.
   */
  async start() {
    if (this.#state !== "new") throw new RtcError("already_started");
    this.#state = "starting";
    const { source, bitrate, deviceId = "", preset, seconds } = this.#options;
    const opus = await canEncodeOpus({ sampleRate: 48_000, channels: 1, frameMs: 20, bitrate });
    const capture = new AudioCapture({
      source,
      bitrate,
      deviceId,
      codec: opus ? "opus" : "pcm_s16le",
      ...(preset === undefined ? {} : { preset }),
    });
    this.#capture = capture;
    try {
      await capture.start();
    } catch (error) {
      this.#state = "stopped";
      throw error;
    }
    if (this.#state !== "starting") {
      await capture.stop();
      throw new RtcError("closed");
    }
    this.#state = "running";
    this.#epoch = Date.now();
    this.#follow(capture, opus, seconds);
    for (const [event, listener] of this.#listeners) this.#socket.on(event, listener);
    if (this.#socket.connected) this.#connected(true);
    else this.#socket.connect();
  }

  /** Let silence come. */
  mute() {
    this.#capture?.mute();
  }

  unmute() {
    this.#capture?.unmute();
  }

  /** @param {number} bitrate Bits a second, from the next packet on. */
  setBitrate(bitrate) {
    this.#capture?.setBitrate(bitrate);
  }

  /**
   * Record no more, send what was recorded, and wait for half a minute at most until the server has taken it.
   *
   * @returns {Promise<void>}
   */
  stop() {
    if (this.#state === "new" || this.#state === "starting") this.#state = "stopped";
    if (this.#state === "running") this.#stopping ??= this.#finish();
    return this.#stopping ?? Promise.resolve();
  }

  /** Let go of everything, the connection too: words that come later are not told. */
  close() {
    void this.stop();
    this.#state = "stopped";
    this.#queue.close();
    for (const [event, listener] of this.#listeners) this.#socket.off(event, listener);
    if (this.#options.socket === undefined) this.#socket.disconnect();
    this.fallSilent();
  }

  async #finish() {
    // a recorder needs the stream until it has ended; an encoder gives its last packet while it is closed
    if (this.#cutter instanceof ContainerFiles) await this.#cutter.finish();
    await this.#capture?.stop();
    if (this.#cutter instanceof SegmentCutter) this.#cutter.finish();
    await this.#queue.drained(LAST_WORDS_MS);
    this.#state = "stopped";
  }

  /**
   * @param {AudioCapture} capture
   * @param {boolean} opus
   * @param {number} seconds
   */
  #follow(capture, opus, seconds) {
    const { frameMs, channels, sampleRate } = capture.format;
    if (opus) {
      const options = { seconds, frameMs, channels, sampleRate, lookAhead: () => capture.preSkip };
      const cutter = new SegmentCutter(options, (segment) => this.#recorded({ ...segment, format: "webm" }));
      this.#cutter = cutter;
      capture.on("frame", ({ data }) => cutter.push(data));
    } else {
      const options = { seconds, bitrate: this.#options.bitrate };
      const files = new ContainerFiles(capture.stream(), options, (file) => this.#recorded(file));
      this.#cutter = files;
      capture.on("frame", () => files.pass(frameMs / 1000));
    }
    capture.on("level", ({ level }) => this.emit("level", { level }));
    capture.on("error", ({ error }) => this.emit("error", { error }));
    capture.on("ended", ({ source, error, left }) => {
      this.emit("ended", { source, error, left });
      if (left === 0) void this.stop();
    });
  }

  /** @param {{file: Uint8Array, format: string, start: number, duration: number}} recorded */
  #recorded({ file, format, start, duration }) {
    const segment = { file, format, timestamp: this.#epoch + Math.round(1000 * start), duration };
    this.emit("segment", segment);
    this.#queue.push(segment);
  }

  get #about() {
    const { language } = this.#options;
    return {
      sessionId: this.sessionId,
      ...(language === undefined ? {} : { language }),
      ...(this.#lastEventId === 0 ? {} : { lastEventId: this.#lastEventId }),
    };
  }

  /** @param {boolean} connected */
  #connected(connected) {
    if (connected) this.#queue.pump();
    else this.#queue.interrupted();
    this.emit("connection", { connected });
  }

  /** @param {Error & {data?: unknown}} error */
  #refused(error) {
    this.#queue.interrupted();
    const refusal = isRecord(error.data) ? RtcError.fromWire(error.data) : RtcError.because("unreachable", error);
    this.emit("error", { error: refusal });
  }

  /**
   * @param {"transcription" | "suggestion" | "transcription-dropped"} type
   * @param {unknown} data
   */
  #hear(type, data) {
    if (!isRecord(data) || data["sessionId"] !== this.sessionId) return;
    const { eventId } = data;
    if (typeof eventId === "number") {
      if (eventId <= this.#lastEventId) return; // told before
      this.#lastEventId = eventId;
    }
    this.emit(type, /** @type {never} */ (data));
  }

  /** @param {unknown} data */
  #wrong(data) {
    // what is wrong with a segment, its answer has told already, unless it came later
    if (isRecord(data) && data["sessionId"] === this.sessionId && typeof data["eventId"] === "number") {
      this.emit("error", { error: RtcError.fromWire(data) });
    }
  }
}

/** As random as it can be: nobody else should send to the session by chance. */
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `segments-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
