/**
 * Sound from a microphone, a shared tab or both, as frames to send.
 *
 *     const capture = new AudioCapture({ source: "microphone" });
 *     capture.on("ended", ({ source, error }) => tell(`${error.message}. ${error.action}`));
 *     await capture.start(); // from a click
 *     const stream = new AudioStreamManager({ format: capture.format });
 *     capture.on("frame", ({ data }) => stream.sendAudioData(data));
 *     await stream.connect();
 *
 * Sound is cut into frames on the audio thread, and encoded on a thread of the browser's: a page that is busy delays it
 * and loses none, and a tab that is hidden goes on.
 */

import { frameSamples, littleEndian } from "./audio-format.js";
import { CaptureGraph } from "./capture-graph.js";
import { CEASED, PRESETS, listDevices, openSources, release, sourceProblem } from "./capture-sources.js";
import { ContainerRecorder, chooseContainer, containerFormat } from "./container-recorder.js";
import { RtcError } from "./errors.js";
import { Emitter } from "./events.js";
import { openMicrophone } from "./microphone.js";
import { OpusEncoder, canEncodeOpus } from "./opus-encoder.js";

const OPUS_BITRATE = 32_000;

/** @typedef {import("./audio-format.js").AudioFormat} AudioFormat */
/** @typedef {import("./capture-graph.js").Channel} Channel `all` for what is mixed or of one source; else whose. */
/** @typedef {import("./capture-sources.js").Source} Source */
/** @typedef {import("./capture-sources.js").SourceKind} SourceKind */

/** @typedef {"microphone" | "tab" | "both" | {me?: MediaStream, them?: MediaStream}} Wanted */
/** @typedef {"mixed" | "apart" | "stereo"} Arrangement */

/**
 * @typedef {object} CaptureOptions
 * @property {Wanted} [source] The microphone, by default.
 *   Streams that are handed in stay the caller's.
 * @property {Arrangement} [arrangement] Of two sources: in one channel; as two streams of frames, `me` and
 *   `them`; or as the left and the right of one.
 * @property {"auto" | "opus" | "pcm_s16le" | "webm"} [codec] `auto`: the first of them that this browser has. Opus is encoded by WebCodecs,
 *   `webm` (or Ogg) by MediaRecorder.
 * @property {8000 | 12000 | 16000 | 24000 | 48000} [sampleRate] Hertz: 16 kHz of PCM and 48 kHz of Opus, by default.
 * @property {number} [frameMs] 20.
 * @property {number} [bitrate] Of an encoder, bits a second.
 * @property {string} [deviceId] Of the microphone; "" for the system's choice.
 * @property {"call" | "recognition" | "music"} [preset] What is asked of the microphone: `recognition`, and `call` where a tab is heard too.
 * @property {MediaTrackConstraints} [constraints] Beyond the preset.
 */

/**
 * @typedef {object} CaptureEvents
 * @property {{channel: Channel, data: Uint8Array, index: number}} frame In the capture's `format`, each channel's in order.
 * @property {{channel: Channel, level: number}} level Root mean square of a frame, 0 to 1.
 * @property {{source: SourceKind, side: "me" | "them", error: RtcError, left: number}} ended A source has ceased; so many
 *   are left. After the last one the capture stops by itself.
 * @property {{source: SourceKind, side: "me" | "them", active: boolean}} held The system holds the sound back, or gives it again.
 * @property {{}} stopped
 * @property {{error: RtcError}} error The sound can't be processed; the capture stops.
 */

/** @extends {Emitter<CaptureEvents>} */
export class AudioCapture extends Emitter {
  #options;
  /** @type {"new" | "starting" | "running" | "stopped"} */
  #state = "new";
  /** @type {Source[]} */
  #sources = [];
  /** @type {CaptureGraph | null} */
  #graph = null;
  /** @type {AudioFormat | null} */
  #format = null;
  /** @type {Map<Channel, OpusEncoder>} */
  #encoders = new Map();
  /** @type {Map<Channel, ContainerRecorder>} */
  #recorders = new Map();
  /** @type {Map<Channel, number>} */
  #frames = new Map();
  /** @type {Set<"me" | "them">} */
  #muted = new Set();
  #listening = new AbortController();
  /** @type {Promise<void> | null} */
  #stopping = null;

  /** @param {CaptureOptions} [options] */
  constructor(options = {}) {
    super();
    const { source = "microphone", bitrate = OPUS_BITRATE } = options;
    /** @type {CaptureOptions & {source: Wanted, arrangement: Arrangement, deviceId: string, frameMs: number, bitrate: number}} */
    this.#options = { arrangement: "mixed", codec: "auto", deviceId: "", frameMs: 20, ...options, source, bitrate };
  }

  /**
   * Why this browser, on this address, cannot capture at all; known before anybody is asked.
   *
   * @param {"microphone" | "tab" | "both"} source
   * @returns {RtcError | null}
   */
  static problem(source) {
    const code = sourceProblem(source) ?? (typeof AudioWorkletNode === "undefined" ? "no_worklet" : null);
    return code === null ? null : new RtcError(code);
  }

  /** Microphones, by the browser's list; without names until the user has allowed one. */
  static microphones() {
    return listDevices("audioinput");
  }

  /** Loudspeakers, likewise. */
  static speakers() {
    return listDevices("audiooutput");
  }

  get state() {
    return this.#state;
  }

  /** What the frames are. @returns {AudioFormat} @throws {RtcError} Before `start`. */
  get format() {
    if (this.#format === null) throw new RtcError("not_started");
    return this.#format;
  }

  /** Whose frames come: `all`, or `me` and `them`. */
  get channels() {
    return this.#graph?.channels ?? [];
  }

  /** The sources that are open, with the names that the browser has for them. */
  get sources() {
    return this.#sources.map(({ kind, side, stream }) => ({ kind, side, label: stream.getAudioTracks()[0]?.label ?? "" }));
  }

  get bitrate() {
    return this.#options.bitrate;
  }

  /** Frames that the encoder was too slow for. */
  get dropped() {
    return [...this.#encoders.values()].reduce((sum, encoder) => sum + encoder.dropped, 0);
  }

  /** Samples at 48 kHz by which what is decoded lags behind what was encoded; 0 for PCM. */
  get preSkip() {
    for (const encoder of this.#encoders.values()) return encoder.preSkip;
    return 0;
  }

  /**
   * Ask for the sources and open them. Frames follow when the promise is fulfilled: whoever listens then misses none.
   *
   * @returns {Promise<void>}
   * @throws {RtcError} What is in the way; its `action` says what to do about it.
   */
  async start() {
    if (this.#state !== "new") throw new RtcError("already_started");
    this.#state = "starting";
    try {
      const format = await this.#chooseFormat();
      this.#demandStarting();
      const sources = await openSources(this.#options.source, {
        deviceId: this.#options.deviceId,
        constraints: { ...PRESETS[this.#preset], ...this.#options.constraints },
      });
      this.#sources = sources;
      this.#demandStarting();
      this.#format = format;
      for (const source of sources) this.#watch(source);
      const graph = await CaptureGraph.open({
        sources,
        arrangement: sources.length === 1 ? "mixed" : this.#options.arrangement,
        sampleRate: format.sampleRate,
        frameSamples: frameSamples({ ...format, frameMs: this.#options.frameMs }),
        onFrame: (channel, frame) => this.#take(channel, frame),
        onFailure: () => this.#fail(new RtcError("capture_failed")),
      });
      this.#graph = graph;
      this.#demandStarting();
      this.#state = "running";
      for (const side of this.#muted) graph.mute(side, true);
      for (const channel of graph.channels) this.#encode(channel, format);
    } catch (error) {
      await this.#letGo();
      this.#state = "stopped";
      throw RtcError.because("capture_failed", error);
    }
  }

  /**
   * Let silence come instead of a source, or of all.
   *
   * @param {"me" | "them"} [side]
   */
  mute(side) {
    this.#setMuted(side, true);
  }

  /** @param {"me" | "them"} [side] */
  unmute(side) {
    this.#setMuted(side, false);
  }

  /** @param {"me" | "them"} [side] Everything, by default. */
  isMuted(side) {
    return side === undefined ? this.#muted.size === 2 : this.#muted.has(side);
  }

  /**
   * Encode with another bitrate from the next frame on. PCM has none, and a container keeps its own.
   *
   * @param {number} bitrate Bits a second.
   */
  setBitrate(bitrate) {
    this.#options.bitrate = bitrate;
    for (const encoder of this.#encoders.values()) encoder.setBitrate(bitrate);
  }

  /**
   * Go on with another microphone.
   *
   * @param {string} [deviceId] "" for the system's choice.
   * @throws {RtcError} It cannot be opened; the one before is still in use then.
   */
  async changeMicrophone(deviceId = "") {
    const graph = this.#graph;
    const before = this.#sources.find(({ kind }) => kind === "microphone");
    if (this.#state !== "running" || graph === null || before === undefined) throw new RtcError("not_started");
    const constraints = { ...PRESETS[this.#preset], ...this.#options.constraints };
    const stream = await openMicrophone(deviceId, constraints);
    if (this.#graph !== graph || !this.#sources.includes(before)) {
      release(stream);
      throw new RtcError("closed");
    }
    const source = { ...before, stream };
    this.#sources = this.#sources.map((one) => (one === before ? source : one));
    this.#watch(source);
    graph.replace("me", stream);
    release(before.stream);
  }

  /**
   * The sound as a stream, for what takes one, such as a `SegmentRecorder` or a peer connection.
   *
   * @param {Channel} [channel]
   * @returns {MediaStream}
   * @throws {RtcError} Before `start`.
   */
  stream(channel = this.channels[0] ?? "all") {
    if (this.#graph === null) throw new RtcError("not_started");
    return this.#graph.stream(channel);
  }

  /** Hand over the last frame and let go of the sources. @returns {Promise<void>} */
  stop() {
    if (this.#state === "starting") this.#state = "stopped"; // `start` sees to the rest
    if (this.#state !== "running" && this.#stopping === null) return Promise.resolve();
    this.#stopping ??= this.#finish();
    return this.#stopping;
  }

  async #finish() {
    await Promise.all(this.channels.map((channel) => this.#graph?.finish(channel)));
    await Promise.all([...this.#encoders.values(), ...this.#recorders.values()].map((encoder) => encoder.close()));
    this.#state = "stopped";
    await this.#letGo();
    this.emit("stopped", {});
  }

  async #letGo() {
    this.#listening.abort();
    const [graph, sources] = [this.#graph, this.#sources];
    this.#graph = null;
    this.#sources = [];
    for (const { stream, owned } of sources) if (owned) release(stream);
    await graph?.close();
  }

  #demandStarting() {
    if (this.#state !== "starting") throw new RtcError("closed");
  }

  get #preset() {
    return this.#options.preset ?? (this.#options.source === "both" ? "call" : "recognition");
  }

  /** @returns {Promise<AudioFormat>} */
  async #chooseFormat() {
    const { codec, arrangement, source, frameMs, bitrate, sampleRate } = this.#options;
    const two = source === "both" || (typeof source === "object" && source.me !== undefined && source.them !== undefined);
    const channels = two && arrangement === "stereo" ? 2 : 1;
    const opus = { codec: /** @type {const} */ ("opus"), sampleRate: sampleRate ?? 48_000, channels, frameMs };
    if (codec !== "pcm_s16le" && codec !== "webm" && (await canEncodeOpus({ ...opus, bitrate }))) return opus;
    if (codec === "pcm_s16le" || codec === "auto") {
      return { codec: "pcm_s16le", sampleRate: sampleRate ?? 16_000, channels, frameMs };
    }
    const container = codec === "webm" ? chooseContainer() : undefined;
    if (container === undefined) throw new RtcError("no_encoder");
    return containerFormat(container.codec, channels);
  }

  /** @param {Source} source */
  #watch(source) {
    const { kind, side, stream } = source;
    const { signal } = this.#listening;
    const current = () => this.#sources.includes(source);
    for (const track of stream.getTracks()) {
      if (track.readyState === "ended") throw new RtcError(CEASED[kind]);
      track.addEventListener("ended", () => current() && this.#ended(source), { signal });
    }
    // a tab that plays nothing is muted too, and nothing is wrong with it
    for (const track of kind === "tab" ? [] : stream.getAudioTracks()) {
      track.addEventListener("mute", () => current() && this.emit("held", { source: kind, side, active: true }), { signal });
      track.addEventListener("unmute", () => current() && this.emit("held", { source: kind, side, active: false }), {
        signal,
      });
    }
  }

  /** @param {Source} source */
  #ended(source) {
    const { kind, side, stream, owned } = source;
    this.#sources = this.#sources.filter((one) => one !== source);
    if (owned) release(stream);
    void this.#graph?.finish(side);
    this.emit("ended", { source: kind, side, error: new RtcError(CEASED[kind]), left: this.#sources.length });
    if (this.#sources.length === 0) void this.stop();
  }

  /** @param {RtcError} error */
  #fail(error) {
    if (this.#state !== "running") return;
    this.emit("error", { error });
    void this.stop();
  }

  /**
   * @param {"me" | "them" | undefined} side
   * @param {boolean} muted
   */
  #setMuted(side, muted) {
    /** @type {("me" | "them")[]} */
    const sides = side === undefined ? ["me", "them"] : [side];
    for (const one of sides) {
      if (muted) this.#muted.add(one);
      else this.#muted.delete(one);
      this.#graph?.mute(one, muted);
    }
  }

  // Frames

  /**
   * @param {Channel} channel
   * @param {AudioFormat} format
   */
  #encode(channel, format) {
    const { bitrate } = this.#options;
    const give = (/** @type {Uint8Array} */ bytes) => this.#give(channel, bytes);
    const fail = (/** @type {RtcError} */ error) => this.#fail(error);
    if (format.codec === "opus") {
      this.#encoders.set(channel, new OpusEncoder({ ...format, bitrate }, give, fail));
    } else if (format.codec !== "pcm_s16le") {
      this.#recorders.set(channel, new ContainerRecorder(this.stream(channel), bitrate, give, fail));
    }
  }

  /**
   * @param {Channel} channel
   * @param {import("./capture-graph.js").RawFrame} frame
   */
  #take(channel, { samples, level }) {
    if (this.#state !== "running") return;
    this.emit("level", { channel, level });
    const { codec } = this.format;
    if (codec === "opus") this.#encoders.get(channel)?.encode(samples);
    else if (codec === "pcm_s16le") this.#give(channel, littleEndian(samples));
  }

  /**
   * @param {Channel} channel
   * @param {Uint8Array} data
   */
  #give(channel, data) {
    if (data.length === 0) return;
    const index = this.#frames.get(channel) ?? 0;
    this.#frames.set(channel, index + 1);
    this.emit("frame", { channel, data, index });
  }
}
