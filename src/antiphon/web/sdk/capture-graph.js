/**
 * The Web Audio graph of a capture: sources, each with a tap to close it, mixed or side by side, into frames.
 */

import { RtcError } from "./errors.js";

const FINISH_DEADLINE_MS = 500;
const RESUME_DEADLINE_MS = 3000;

/** @typedef {import("./capture-sources.js").Source} Source */
/** @typedef {"all" | "me" | "them"} Channel */
/** @typedef {{samples: Int16Array, level: number}} RawFrame */

/**
 * @typedef {object} GraphOptions
 * @property {readonly Source[]} sources
 * @property {"mixed" | "apart" | "stereo"} arrangement
 * @property {number} sampleRate Hertz of the frames.
 * @property {number} frameSamples Samples of a frame, of one channel.
 * @property {(channel: Channel, frame: RawFrame) => void} onFrame
 * @property {() => void} onFailure The audio thread has failed.
 */

/** What comes out of it, by channel: all in one, or each side for itself. */
export class CaptureGraph {
  #context;
  #options;
  /** @type {Map<"me" | "them", {source: MediaStreamAudioSourceNode, tap: GainNode}>} */
  #sides = new Map();
  /** @type {Map<Channel, {node: AudioNode, worklet: AudioWorkletNode | null, finished: () => void, done: boolean}>} */
  #outputs = new Map();

  /**
   * @param {AudioContext} context
   * @param {GraphOptions} options
   */
  constructor(context, options) {
    this.#context = context;
    this.#options = options;
    const { sources, arrangement } = options;
    for (const { side, stream } of sources) {
      const source = context.createMediaStreamSource(stream);
      const tap = new GainNode(context, { channelCount: 1, channelCountMode: "explicit" }); // the mean of left and right
      source.connect(tap);
      this.#sides.set(side, { source, tap });
    }
    if (arrangement === "apart") {
      for (const [side, { tap }] of this.#sides) this.#addOutput(side, tap, 1);
    } else if (arrangement === "stereo") {
      const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
      this.#sides.get("me")?.tap.connect(merger, 0, 0);
      this.#sides.get("them")?.tap.connect(merger, 0, 1);
      this.#addOutput("all", merger, 2);
    } else {
      const sum = new GainNode(context, { channelCount: 1, channelCountMode: "explicit" });
      for (const { tap } of this.#sides.values()) tap.connect(sum);
      this.#addOutput("all", sum, 1);
    }
    context.onstatechange = () => {
      if (context.state !== "running" && context.state !== "closed") void context.resume();
    };
  }

  /**
   * @param {GraphOptions} options
   * @returns {Promise<CaptureGraph>}
   * @throws {RtcError}
   */
  static async open(options) {
    if (typeof AudioWorkletNode === "undefined") throw new RtcError("no_worklet");
    const context = await contextFor(options);
    try {
      try {
        await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
      } catch (error) {
        throw RtcError.because("unreachable", error); // it comes from the server
      }
      const graph = new CaptureGraph(context, options);
      await running(context);
      return graph;
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  /** @returns {Channel[]} */
  get channels() {
    return [...this.#outputs.keys()];
  }

  /**
   * What comes out, as a stream for what takes one.
   *
   * @param {Channel} channel
   */
  stream(channel) {
    const destination = this.#context.createMediaStreamDestination();
    const output = this.#outputs.get(channel);
    destination.channelCount = output?.worklet?.channelCount ?? 1;
    output?.node.connect(destination);
    return destination.stream;
  }

  /**
   * @param {"me" | "them"} side
   * @param {boolean} muted
   */
  mute(side, muted) {
    const tap = this.#sides.get(side)?.tap;
    if (tap !== undefined) tap.gain.value = muted ? 0 : 1;
  }

  /**
   * Take a side's sound from another stream.
   *
   * @param {"me" | "them"} side
   * @param {MediaStream} stream
   */
  replace(side, stream) {
    const entry = this.#sides.get(side);
    if (entry === undefined) return;
    const source = this.#context.createMediaStreamSource(stream);
    entry.source.disconnect();
    source.connect(entry.tap);
    entry.source = source;
  }

  /** Hand over the last frame of a channel; it gives none after that. @param {Channel} channel @returns {Promise<void>} */
  finish(channel) {
    const output = this.#outputs.get(channel);
    if (output === undefined || output.worklet === null || output.done) return Promise.resolve();
    output.done = true;
    const { port } = output.worklet;
    return new Promise((resolve) => {
      output.finished = resolve;
      setTimeout(resolve, FINISH_DEADLINE_MS);
      port.postMessage("finish");
    });
  }

  /** Hand over the last frames, and let go of everything but the sources. */
  async close() {
    await Promise.all(this.channels.map((channel) => this.finish(channel)));
    this.#context.onstatechange = null;
    if (this.#context.state !== "closed") await this.#context.close();
  }

  /**
   * @param {Channel} channel
   * @param {AudioNode} node
   * @param {1 | 2} channels
   */
  #addOutput(channel, node, channels) {
    const { sampleRate, frameSamples, onFrame, onFailure } = this.#options;
    const worklet = new AudioWorkletNode(this.#context, "antiphon-capture", {
      channelCount: channels,
      channelCountMode: "explicit",
      channelInterpretation: channels === 1 ? "speakers" : "discrete",
      processorOptions: { sampleRate, frameSamples, channels },
    });
    const output = { node, worklet, finished: () => undefined, done: false };
    this.#outputs.set(channel, output);
    worklet.port.onmessage = ({ data }) => {
      if (data === null) output.finished();
      else onFrame(channel, data);
    };
    worklet.onprocessorerror = onFailure;
    node.connect(worklet);
    worklet.connect(this.#context.destination); // silent: the processor writes nothing; unconnected nodes may not be run
  }
}

/**
 * At the frames' rate where the browser converts by itself; else at the device's rate, and the worklet converts.
 *
 * @param {GraphOptions} options
 */
async function contextFor({ sources, sampleRate }) {
  const converting = new AudioContext({ sampleRate, latencyHint: "interactive" });
  try {
    for (const { stream } of sources) converting.createMediaStreamSource(stream).disconnect();
    return converting;
  } catch {
    // Firefox refuses a source whose rate is not the context's.
    await converting.close();
    return new AudioContext({ latencyHint: "interactive" });
  }
}

/**
 * @param {AudioContext} context
 * @returns {Promise<void>}
 * @throws {RtcError} The browser wants a click first.
 */
function running(context) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new RtcError("needs_click")), RESUME_DEADLINE_MS);
    context.resume().then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
