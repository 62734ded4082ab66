/**
 * Packets to samples: by WebCodecs where the browser has it, else by libopus as WebAssembly, which is fetched only then.
 *
 * A decoder gives one piece of sound for each packet, in their order, and says so where a packet was none.
 */

import { isRecord } from "../wire.js";
import { packetDuration } from "./opus-packet.js";

/** Opus is decoded at this rate, whatever it was encoded from. */
const OPUS_RATE = 48_000;
/** Packets that may wait in a decoder that is slow; the next are given up. */
const MOST_WAITING = 500;

/**
 * @typedef {object} Decoded
 * @property {Float32Array | null} samples One channel, the decoder's own no more; null for a packet that was none.
 * @property {number} sampleRate Hertz.
 */

/**
 * @typedef {object} PacketDecoder
 * @property {"webcodecs" | "wasm" | "pcm"} kind
 * @property {(packet: Uint8Array, take: (decoded: Decoded) => void) => void} decode `take` is called once, later or at once,
 *   unless `reset` comes first.
 * @property {() => Promise<void>} flush Resolves when all that was given has been taken.
 * @property {() => void} reset Forget what waits.
 * @property {() => void} close
 */

/** @typedef {{codec: "opus" | "pcm_s16le", sampleRate: number, channels: number}} SoundFormat */

/** No decoder for this format. */
export class NoDecoder extends Error {}

/**
 * @param {SoundFormat} format
 * @returns {Promise<PacketDecoder>}
 * @throws {NoDecoder}
 */
export async function openDecoder({ codec, sampleRate, channels }) {
  if (codec === "pcm_s16le") return new PcmDecoder(sampleRate, channels);
  if (await hasWebCodecs(channels)) return new WebCodecsDecoder(channels);
  return WasmDecoder.open(channels);
}

/** @param {number} channels */
async function hasWebCodecs(channels) {
  if (typeof AudioDecoder !== "function") return false;
  try {
    const config = { codec: "opus", sampleRate: OPUS_RATE, numberOfChannels: channels };
    return (await AudioDecoder.isConfigSupported(config)).supported === true;
  } catch {
    return false;
  }
}

/** @implements {PacketDecoder} */
class WebCodecsDecoder {
  /** @type {"webcodecs"} */
  kind = "webcodecs";
  #channels;
  /** @type {AudioDecoder} */
  #decoder;
  /** Microseconds, of the next packet. */
  #time = 0;
  /** @type {{time: number, packet: Uint8Array, take: (decoded: Decoded) => void}[]} */
  #waiting = [];

  /** @param {number} channels */
  constructor(channels) {
    this.#channels = channels;
    this.#decoder = this.#open();
  }

  #open() {
    /** @type {AudioDecoder} */
    const decoder = new AudioDecoder({
      output: (data) => {
        if (this.#decoder === decoder) this.#given(data);
        data.close();
      },
      error: () => {
        if (this.#decoder === decoder) this.#failed();
      },
    });
    decoder.configure({ codec: "opus", sampleRate: OPUS_RATE, numberOfChannels: this.#channels });
    return decoder;
  }

  /**
   * @param {Uint8Array} packet
   * @param {(decoded: Decoded) => void} take
   */
  decode(packet, take) {
    const duration = packetDuration(packet);
    if (duration === null || this.#waiting.length >= MOST_WAITING) return take(nothing());
    const time = this.#time;
    this.#time += 1000 * duration;
    this.#waiting.push({ time, packet, take });
    try {
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: time, data: packet }));
    } catch {
      this.#failed();
    }
  }

  async flush() {
    try {
      await this.#decoder.flush();
    } catch {
      // it has failed meanwhile, and said so
    }
    while (this.#waiting.length > 0) this.#waiting.shift()?.take(nothing());
  }

  reset() {
    this.#waiting = [];
    if (this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = this.#open();
  }

  close() {
    this.#waiting = [];
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }

  /** @param {AudioData} data */
  #given(data) {
    // a packet of which nothing came is one that was none
    while (this.#waiting.length > 1 && /** @type {{time: number}} */ (this.#waiting[1]).time <= data.timestamp) {
      this.#waiting.shift()?.take(nothing());
    }
    const next = this.#waiting.shift();
    if (next === undefined) return;
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    if (data.numberOfChannels > 1) {
      const other = new Float32Array(data.numberOfFrames);
      for (let channel = 1; channel < data.numberOfChannels; channel++) {
        data.copyTo(other, { planeIndex: channel, format: "f32-planar" });
        for (let i = 0; i < samples.length; i++) samples[i] = at(samples, i) + at(other, i);
      }
      for (let i = 0; i < samples.length; i++) samples[i] = at(samples, i) / data.numberOfChannels;
    }
    next.take({ samples, sampleRate: data.sampleRate });
  }

  /** The browser closes a decoder at a packet that is none: it is the first that waits, and another takes the rest. */
  #failed() {
    const [bad, ...rest] = this.#waiting;
    this.reset();
    bad?.take(nothing());
    for (const { packet, take } of rest) this.decode(packet, take);
  }
}

/** @implements {PacketDecoder} */
class WasmDecoder {
  /** @type {"wasm"} */
  kind = "wasm";
  #decoder;

  /** @param {OpusModule} decoder */
  constructor(decoder) {
    this.#decoder = decoder;
  }

  /** @param {number} channels */
  static async open(channels) {
    const url = new URL("../vendor/opus-decoder.js", import.meta.url);
    try {
      await import(url.href);
      const make = /** @type {Record<string, any>} */ (globalThis)["opus-decoder"].OpusDecoder;
      /** @type {OpusModule} */
      const decoder = new make({ channels, sampleRate: OPUS_RATE });
      await decoder.ready;
      return new WasmDecoder(decoder);
    } catch (error) {
      throw new NoDecoder(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * @param {Uint8Array} packet
   * @param {(decoded: Decoded) => void} take
   */
  decode(packet, take) {
    if (packetDuration(packet) === null) return take(nothing());
    const { channelData, samplesDecoded, sampleRate, errors } = this.#decoder.decodeFrame(packet);
    const [first] = channelData;
    if (first === undefined || samplesDecoded === 0 || errors.length > 0) return take(nothing());
    const samples = first.slice(0, samplesDecoded);
    for (const other of channelData.slice(1)) {
      for (let i = 0; i < samples.length; i++) samples[i] = at(samples, i) + at(other, i);
    }
    if (channelData.length > 1) for (let i = 0; i < samples.length; i++) samples[i] = at(samples, i) / channelData.length;
    take({ samples, sampleRate });
  }

  async flush() {}

  reset() {
    void this.#decoder.reset();
  }

  close() {
    this.#decoder.free();
  }
}

/**
 * @typedef {object} OpusModule The part that is used of the package `opus-decoder`.
 * @property {Promise<void>} ready
 * @property {(packet: Uint8Array) => {channelData: Float32Array[], samplesDecoded: number, sampleRate: number,
 *   errors: unknown[]}} decodeFrame
 * @property {() => Promise<void>} reset
 * @property {() => void} free
 */

/** Signed 16-bit little-endian. @implements {PacketDecoder} */
class PcmDecoder {
  /** @type {"pcm"} */
  kind = "pcm";
  #sampleRate;
  #channels;

  /**
   * @param {number} sampleRate
   * @param {number} channels
   */
  constructor(sampleRate, channels) {
    this.#sampleRate = sampleRate;
    this.#channels = channels;
  }

  /**
   * @param {Uint8Array} packet
   * @param {(decoded: Decoded) => void} take
   */
  decode(packet, take) {
    const width = 2 * this.#channels;
    if (packet.length === 0 || packet.length % width !== 0) return take(nothing());
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const samples = new Float32Array(packet.length / width);
    for (let i = 0; i < samples.length; i++) {
      let sum = 0;
      for (let channel = 0; channel < this.#channels; channel++) sum += view.getInt16(i * width + 2 * channel, true);
      samples[i] = sum / this.#channels / 0x8000;
    }
    take({ samples, sampleRate: this.#sampleRate });
  }

  async flush() {}
  reset() {}
  close() {}
}

/** @returns {Decoded} */
const nothing = () => ({ samples: null, sampleRate: OPUS_RATE });

/**
 * @param {Float32Array} samples
 * @param {number} index
 */
const at = (samples, index) => /** @type {number} */ (samples[index]);

/**
 * Whether these are the options of a sound that can be decoded.
 *
 * @param {unknown} options
 * @returns {string} What is wrong with them; "" for nothing.
 */
export function formatProblem(options) {
  const { codec, sampleRate, channels } = isRecord(options) ? options : {};
  if (codec !== "opus" && codec !== "pcm_s16le") return `codec is ${JSON.stringify(codec)}, not "opus" or "pcm_s16le"`;
  if (typeof sampleRate !== "number" || !(sampleRate >= 8_000 && sampleRate <= 192_000)) {
    return `sampleRate is ${JSON.stringify(sampleRate)}, not 8000 to 192000 Hz`;
  }
  if (channels !== 1 && channels !== 2) return `channels is ${JSON.stringify(channels)}, not 1 or 2`;
  return "";
}
