/**
 * Plays a stream of an Antiphon server without a gap: a file, a room or spoken text (`/ws-audio`), or packets that come from
 * elsewhere, such as the reply audio of `/audio-stream`.
 *
 *     const player = new StreamPlayer({ server: "https://voice.example" });
 *     player.on("stats", ({ level, latency }) => draw(level, latency));
 *     await player.listen({ source: "file:welcome.ogg" }); // from a click, or else call unblock() from one
 *
 *     const replies = new StreamPlayer();
 *     await replies.open({ codec: "opus", sampleRate: 48_000, frameMs: 20 });
 *     replies.push(packet); // a Uint8Array
 *     replies.clear(); // barge-in: silent within 10 ms
 *
 * The connection and the decoder are in a worker, the jitter buffer on the audio thread, and sound goes from the one to the
 * other directly: neither a page that is busy nor a tab that is hidden is heard.
 */

import { RtcError } from "./errors.js";
import { startWorker } from "./player/start-worker.js";

const READY_MS = 10_000;
const VOLUME_RAMP_SECONDS = 0.02;

/** @typedef {import("./player/events.js").PlayerState} PlayerState */
/** @typedef {import("./player/events.js").PlayerEvents} PlayerEvents */
/** @typedef {import("./player/events.js").PlayerStats} PlayerStats */
/** @typedef {import("./player/events.js").BufferStats} BufferStats */
/** @typedef {import("./player/events.js").LinkStats} LinkStats */
/** @typedef {import("./player/events.js").Started} Started */

/**
 * @typedef {object} PlayerOptions
 * @property {string | URL} [server] Its address; that of the page by default.
 * @property {string} [key] Access key; "" for none.
 * @property {AudioContext} [context] To play in, which stays the caller's; one of its own by default.
 * @property {number} [maxDelay] Bound of the jitter buffer, in milliseconds.
 */

/**
 * @typedef {object} ListenOptions
 * @property {string} source `file:NAME`, `room:ID`, `say:TEXT`, or `say:` for texts that `say()` gives.
 * @property {8000 | 12000 | 16000 | 24000 | 48000} [sampleRate] Of the encoder, in hertz.
 * @property {10 | 20 | 40 | 60} [frameMs]
 * @property {number} [bitrate] Bits a second.
 * @property {"voice_high_quality" | "voice_low_latency" | "voice_low_bandwidth"} [preset]
 * @property {number} [position] Seconds into a file or a text.
 * @property {string} [voice] Of the synthesiser.
 * @property {string} [language] Of the text, as a BCP 47 tag.
 * @property {number} [rate] Speaking rate, 0.5 to 2.
 */

/**
 * @typedef {object} OpenOptions
 * @property {"opus" | "pcm_s16le"} codec
 * @property {number} sampleRate Hertz.
 * @property {number} [frameMs]
 * @property {number} [channels]
 * @property {boolean} [live] Whether to catch up when late, and rather drop than lag behind.
 */

export class StreamPlayer extends EventTarget {
  #options;
  #lifetime = new AbortController();
  /** Of one stream. */
  #stream = new AbortController();
  /** @type {Worker | null} */
  #worker = null;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AudioWorkletNode | null} */
  #node = null;
  /** @type {GainNode | null} */
  #output = null;
  #volume = 1;
  /** @type {PlayerState} */
  #state = "new";
  /** Whether the worker has been told to begin, and waits for the context to run. @type {boolean} */
  #held = false;
  #paused = false;
  /** @type {BufferStats} */
  #buffer = noBuffer();
  /** @type {LinkStats} */
  #link = noLink();
  #endReason = "complete";

  /** @param {PlayerOptions} [options] */
  constructor({ server = globalThis.location?.href, key = "", context, maxDelay = 500 } = {}) {
    super();
    this.#options = { server, key, context, maxDelay };
    globalThis.window?.addEventListener("online", () => this.retryNow(), { signal: this.#lifetime.signal });
  }

  /**
   * Listen to an event until the returned function is called, or the player is closed.
   *
   * @template {keyof PlayerEvents} T
   * @param {T} type
   * @param {(detail: PlayerEvents[T]) => void} listener
   */
  on(type, listener) {
    const heard = (/** @type {Event} */ event) => listener(/** @type {CustomEvent<PlayerEvents[T]>} */ (event).detail);
    this.addEventListener(type, heard, { signal: this.#lifetime.signal });
    return () => this.removeEventListener(type, heard);
  }

  get state() {
    return this.#state;
  }

  /** The newest figures. @returns {PlayerStats} */
  get stats() {
    const outputLatency = 1000 * (this.#context?.outputLatency || this.#context?.baseLatency || 0);
    return { ...this.#buffer, ...this.#link, outputLatency, latency: this.#buffer.level + outputLatency };
  }

  /** Where the sound comes out, for meters and recorders; null before `listen()` or `open()`. @returns {AudioNode | null} */
  get node() {
    return this.#output;
  }

  /** @returns {AudioContext | null} */
  get context() {
    return this.#context;
  }

  /** 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(volume) {
    this.#volume = Math.min(1, Math.max(0, volume));
    const { currentTime = 0 } = this.#context ?? {};
    this.#output?.gain.setTargetAtTime(this.#volume, currentTime, VOLUME_RAMP_SECONDS);
  }

  /**
   * Play a source of `/ws-audio`. A connection that is lost is made again, at the place where it was lost.
   *
   * @param {ListenOptions} options
   * @returns {Promise<void>} Once the player is set up. Sound follows, or `blocked`, or `failed`.
   * @throws {RtcError} This browser cannot play, or the player is closed.
   */
  async listen(options) {
    if (this.#options.server === undefined) throw new TypeError("server must be given outside a page");
    const { server, key } = this.#options;
    await this.#begin({ type: "listen", server: String(server), key, options });
  }

  /**
   * Play what `push()` gives.
   *
   * @param {OpenOptions} options
   * @returns {Promise<void>} Once the player is set up; packets may be pushed before.
   * @throws {RtcError} This browser cannot play, or the player is closed.
   */
  async open({ codec, sampleRate, frameMs = 20, channels = 1, live = true }) {
    if (codec !== "opus" && codec !== "pcm_s16le") {
      throw new RtcError("unsupported_codec", { detail: `codec is ${JSON.stringify(codec)}` });
    }
    await this.#begin({ type: "open", codec, sampleRate, frameMs, channels, live });
  }

  /**
   * The next packet, after `open()`.
   *
   * @param {Uint8Array | ArrayBuffer} packet One Opus packet, or any whole number of samples. It stays the caller's.
   * @param {object} [more]
   * @param {number} [more.missing] Packets before this one that will not come.
   */
  push(packet, { missing = 0 } = {}) {
    if (this.#worker === null) throw new RtcError("not_open");
    const data = packet instanceof Uint8Array ? packet.slice() : new Uint8Array(packet.slice(0));
    this.#worker.postMessage({ type: "packet", data, missing }, [data.buffer]);
  }

  /** Nothing more follows what was pushed: it is played to its end, then `ended`. */
  end() {
    this.#worker?.postMessage({ type: "end" });
  }

  /** Drop what waits to be played, silent within 10 ms; with a source `say:`, what the server still has to say too. */
  clear() {
    this.#worker?.postMessage({ type: "clear" });
  }

  /**
   * Have something said, with a source `say:`.
   *
   * @param {string} text
   * @param {{voice?: string, language?: string, rate?: number}} [how]
   */
  say(text, how = {}) {
    this.#demandWorker().postMessage({ type: "send", message: { ...how, type: "say", text } });
  }

  /**
   * Ask the server for another bitrate; `bitrate-change` tells which it took.
   *
   * @param {number} bitrate Bits a second.
   */
  setBitrate(bitrate) {
    this.#demandWorker().postMessage({ type: "send", message: { type: "bitrate-change", bitrate } });
  }

  /** Be silent, and receive nothing. */
  pause() {
    if (this.#paused || this.#worker === null || isOver(this.#state)) return;
    this.#paused = true;
    this.#worker.postMessage({ type: "hold", position: this.#buffer.position });
    this.#held = true;
    this.#show("paused");
  }

  /** Go on: at the same place, or with what is live now. */
  async resume() {
    if (!this.#paused) return;
    this.#paused = false;
    await this.#release();
  }

  /** Connect at once where the player waits to do so. */
  retryNow() {
    this.#worker?.postMessage({ type: "retry" });
  }

  /** Let the browser play; to be called from a click or a key. @returns {Promise<boolean>} Whether it does. */
  async unblock() {
    await this.#release();
    return this.#context?.state === "running";
  }

  /** Stop playing and let go of everything but the player itself. */
  stop() {
    this.#stream.abort();
    this.#stream = new AbortController();
    this.#worker?.postMessage({ type: "close" });
    this.#worker?.terminate();
    this.#worker = null;
    this.#node?.port.postMessage({ type: "close" });
    this.#node?.disconnect();
    this.#output?.disconnect();
    if (this.#context !== null && this.#context !== this.#options.context) void this.#context.close();
    this.#node = this.#output = this.#context = null;
    this.#held = this.#paused = false;
    this.#buffer = noBuffer();
    this.#link = noLink();
    if (!isOver(this.#state)) this.#show("new");
  }

  /** For good. */
  close() {
    this.stop();
    this.#show("closed");
    this.#lifetime.abort();
  }

  /** @param {Record<string, unknown>} order For the worker. */
  async #begin(order) {
    if (this.#state === "closed") throw new RtcError("closed", { message: "This player was closed" });
    this.stop();
    this.#endReason = "complete";
    this.#show("connecting");
    const worker = startWorker();
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#worker === worker && this.#onWorker(data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker === worker) this.#fail(new RtcError("player_failed", { detail: event.message }));
    };
    try {
      await this.#open(worker, order);
    } catch (error) {
      if (this.#worker !== worker) return;
      this.stop();
      this.#show("failed");
      throw RtcError.because("player_failed", error);
    }
  }

  /**
   * @param {Worker} worker
   * @param {Record<string, unknown>} order
   */
  async #open(worker, order) {
    if (typeof AudioContext !== "function" || typeof AudioWorkletNode !== "function") {
      throw new RtcError(globalThis.isSecureContext === false ? "insecure_player" : "no_player");
    }
    const context = this.#options.context ?? new AudioContext({ latencyHint: "interactive" });
    this.#context = context;
    // before the first wait, so that a click still counts
    const running = context.resume().catch(() => undefined);
    this.#held = true;
    worker.postMessage(order);
    await deadline(context.audioWorklet.addModule(new URL("./player/worklet.js", import.meta.url)), "unreachable");
    if (this.#worker !== worker) return;
    const node = new AudioWorkletNode(context, "antiphon-player", {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      processorOptions: { maxMs: this.#options.maxDelay },
    });
    const output = new GainNode(context, { gain: this.#volume });
    node.connect(output).connect(context.destination);
    this.#node = node;
    this.#output = output;
    node.port.onmessage = ({ data }) => this.#node === node && this.#onAudioThread(data);
    node.onprocessorerror = () => this.#node === node && this.#fail(new RtcError("player_failed"));
    const { port1, port2 } = new MessageChannel();
    node.port.postMessage({ type: "port", port: port1 }, [port1]);
    worker.postMessage({ type: "port", port: port2, sampleRate: context.sampleRate }, [port2]);
    context.addEventListener("statechange", () => this.#context === context && this.#onContextState(), {
      signal: this.#stream.signal,
    });
    await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 200))]);
    if (this.#worker === worker) this.#onContextState();
  }

  /** The context runs, or waits for a click, or was interrupted by the system. */
  #onContextState() {
    if (this.#context === null || this.#paused) return;
    if (this.#context.state === "running") {
      if (this.#held) {
        this.#held = false;
        this.#worker?.postMessage({ type: "release" });
      }
      if (this.#state === "blocked" || this.#state === "paused") this.#show("connecting");
      return;
    }
    if (this.#context.state === "closed" || isOver(this.#state)) return;
    // nothing plays: what would come now is asked for later
    if (!this.#held) {
      this.#held = true;
      this.#worker?.postMessage({ type: "hold", position: this.#buffer.position });
    }
    this.#show("blocked");
  }

  async #release() {
    const context = this.#context;
    if (context === null) return;
    await Promise.race([context.resume().catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 1000))]);
    if (this.#context !== context) return;
    this.#onContextState();
  }

  /** @param {{type: string, [field: string]: any}} told */
  #onWorker(told) {
    switch (told.type) {
      case "link":
        this.#link = told["stats"];
        return;
      case "reason":
        this.#endReason = told["reason"];
        return;
      case "connected":
        if (this.#state === "reconnecting") this.#show(this.#buffer.level > 0 ? "playing" : "buffering");
        return this.#emit("connected", {});
      case "reconnecting":
        this.#show("reconnecting");
        return this.#emit("reconnecting", { attempt: told["attempt"], delay: told["delay"] });
      case "failed":
        return this.#fail(revive(told["error"]));
      case "error":
        return this.#emit("error", { error: revive(told["error"]) });
      case "event":
        return this.#emit(told["name"], told["detail"]);
    }
  }

  /** @param {{type: string, [field: string]: any}} told */
  #onAudioThread(told) {
    switch (told.type) {
      case "stats":
        this.#buffer = told["stats"];
        return this.#emit("stats", this.stats);
      case "state": {
        const state = /** @type {"buffering" | "playing" | "ended"} */ (told["state"]);
        if (isOver(this.#state) || this.#state === "paused" || this.#state === "blocked") return;
        if (state === "ended") {
          this.#worker?.postMessage({ type: "close" });
          this.#show("ended");
          return this.#emit("ended", { reason: this.#endReason });
        }
        if (this.#state !== "reconnecting" || state === "playing") this.#show(state);
        return;
      }
      case "cleared":
        return this.#emit("cleared", {});
    }
  }

  /** @param {RtcError} error */
  #fail(error) {
    if (isOver(this.#state)) return;
    this.#worker?.postMessage({ type: "close" });
    this.#node?.port.postMessage({ type: "clear" });
    this.#show("failed");
    this.#emit("failed", { error });
  }

  #demandWorker() {
    if (this.#worker === null) throw new RtcError("not_open");
    return this.#worker;
  }

  /** @param {PlayerState} state */
  #show(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", { state });
  }

  /**
   * @template {keyof PlayerEvents} T
   * @param {T} type
   * @param {PlayerEvents[T]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {PlayerState} state */
const isOver = (state) => state === "ended" || state === "failed" || state === "closed";

/** An error cannot cross from a worker with its fields. @param {Record<string, any>} plain */
function revive(plain) {
  const { code, ...more } = plain;
  return new RtcError(code, more);
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {string} code Of the error, where it fails or takes too long.
 */
async function deadline(promise, code) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new RtcError(code)), READY_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    throw RtcError.because(code, error);
  } finally {
    clearTimeout(timer);
  }
}

/** @returns {BufferStats} */
function noBuffer() {
  return {
    level: 0,
    target: 0,
    jitter: 0,
    position: 0,
    played: 0,
    underruns: 0,
    concealed: 0,
    stretched: 0,
    shortened: 0,
    dropped: 0,
  };
}

/** @returns {LinkStats} */
function noLink() {
  return { packets: 0, bytes: 0, bitrate: 0, bad: 0, lost: 0, reconnects: 0, roundTrip: null, decoder: "" };
}
