/**
 * The way of a packet in the worker: decoded, cut to what is not yet there, at the output's rate, to the audio thread.
 */

import { Resampler } from "../resample.js";
import { NoDecoder, openDecoder } from "./decoders.js";

/** So many packets in a row that are none, and it is no accident. */
const MOST_BAD = 50;
/** Packets that wait for a decoder to be fetched; the oldest go. */
const MOST_EARLY = 500;

/** @typedef {import("./worklet.js").PlayerOrder} PlayerOrder */
/** @typedef {import("./decoders.js").SoundFormat} SoundFormat */

/**
 * @typedef {object} Tag What is known of a packet before it is decoded.
 * @property {number} duration Seconds.
 * @property {number} [position] Seconds into the source, of its first sample.
 * @property {number} [cut] Seconds at its beginning that are not played.
 * @property {number} [missing] Seconds of the stream before it that will not come.
 */

export class SoundPath {
  #send;
  #fail;
  #outputRate;
  /** @type {import("./decoders.js").PacketDecoder | null} */
  #decoder = null;
  /** @type {{packet: Uint8Array, tag: Tag}[]} */
  #early = [];
  /** @type {Resampler | null} */
  #resampler = null;
  #resampledFrom = 0;
  #badInRow = 0;
  #closed = false;
  /** Of an end, or of what came before a `clear`. */
  #generation = 0;

  /** Packets that could not be decoded. */
  bad = 0;

  /**
   * @param {object} options
   * @param {number} options.outputRate Hertz.
   * @param {(order: PlayerOrder, transfer?: ArrayBufferLike[]) => void} options.send To the audio thread.
   * @param {(code: "no_opus" | "bad_stream", detail: string) => void} options.fail It goes no further.
   */
  constructor({ outputRate, send, fail }) {
    this.#outputRate = outputRate;
    this.#send = send;
    this.#fail = fail;
  }

  /** @returns {"webcodecs" | "wasm" | "pcm" | ""} */
  get decoder() {
    return this.#decoder?.kind ?? "";
  }

  /**
   * @param {SoundFormat} format
   * @param {{frameMs: number, live: boolean}} stream
   */
  async open(format, { frameMs, live }) {
    this.#send({ type: "begin", frameMs, live });
    try {
      const decoder = await openDecoder(format);
      if (this.#closed) return decoder.close();
      this.#decoder = decoder;
      for (const { packet, tag } of this.#early.splice(0)) this.put(packet, tag);
    } catch (error) {
      if (!(error instanceof NoDecoder)) throw error;
      this.#fail("no_opus", error.message);
    }
  }

  /**
   * @param {Uint8Array} packet
   * @param {Tag} tag
   */
  put(packet, tag) {
    if (this.#decoder === null) {
      this.#early.push({ packet, tag });
      if (this.#early.length > MOST_EARLY) this.#early.shift();
      return;
    }
    const generation = this.#generation;
    this.#decoder.decode(packet, (decoded) => {
      if (generation === this.#generation) this.#decoded(decoded, tag);
    });
  }

  async end() {
    const generation = this.#generation;
    await this.#decoder?.flush();
    if (generation !== this.#generation) return;
    // what the filter has kept back
    const last = this.#atOutputRate(new Float32Array(Math.ceil(this.#resampledFrom / 500)));
    if (this.#resampler !== null && last.length > 0) this.#send({ type: "audio", samples: last }, [last.buffer]);
    this.#send({ type: "end" });
  }

  rejoin() {
    this.#send({ type: "rejoin" });
  }

  /** @param {{quiet?: boolean}} [how] Whether it is nobody's barge-in, and not told. */
  clear({ quiet = false } = {}) {
    this.#generation++;
    this.#early = [];
    this.#decoder?.reset();
    this.#resampler = null;
    this.#send({ type: "clear", quiet });
  }

  close() {
    this.#closed = true;
    this.#generation++;
    this.#decoder?.close();
    this.#decoder = null;
  }

  /**
   * @param {import("./decoders.js").Decoded} decoded
   * @param {Tag} tag
   */
  #decoded({ samples, sampleRate }, { duration, position, cut = 0, missing = 0 }) {
    if (missing > 0) this.#skip(missing);
    if (samples === null) {
      this.bad++;
      if (++this.#badInRow === MOST_BAD) this.#fail("bad_stream", `${MOST_BAD} packets in a row could not be decoded`);
      if (cut < duration) this.#skip(duration - cut);
      return;
    }
    this.#badInRow = 0;
    const from = Math.round(cut * sampleRate);
    if (from >= samples.length) return;
    if (sampleRate !== this.#resampledFrom) {
      this.#resampledFrom = sampleRate;
      this.#resampler = null;
    }
    const sound = this.#atOutputRate(from > 0 ? samples.slice(from) : samples);
    if (sound.length === 0) return;
    const at = position === undefined ? {} : { position: position + cut };
    this.#send({ type: "audio", samples: sound, ...at }, [sound.buffer]);
  }

  /** @param {number} seconds */
  #skip(seconds) {
    this.#send({ type: "skip", length: Math.round(seconds * this.#outputRate) });
  }

  /** @param {Float32Array} samples */
  #atOutputRate(samples) {
    if (this.#resampledFrom === this.#outputRate || this.#resampledFrom === 0) return samples;
    this.#resampler ??= new Resampler(this.#resampledFrom, this.#outputRate);
    return this.#resampler.process(samples);
  }
}
