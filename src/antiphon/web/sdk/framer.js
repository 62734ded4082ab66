/**
 * From floating-point samples to frames of 16-bit PCM.
 */

/**
 * @typedef {object} Frame
 * @property {Int16Array} samples Of one channel, or interleaved, in the byte order of the machine.
 * @property {number} level Root mean square, 0 to 1.
 */

/** Cuts a stream of samples into frames of equal length. */
export class Framer {
  #pending;
  #filled = 0;
  #power = 0;
  #emit;

  /**
   * @param {number} frameSamples Samples of a frame.
   * @param {(frame: Frame) => void} emit Is given each frame; the samples are its own to keep.
   */
  constructor(frameSamples, emit) {
    this.#pending = new Int16Array(frameSamples);
    this.#emit = emit;
  }

  /** @param {Float32Array} samples -1 to 1; what is beyond is clipped, what is not a number is silence. */
  push(samples) {
    for (const sample of samples) {
      const value = Math.max(-1, Math.min(1, sample || 0));
      this.#power += value * value;
      this.#pending[this.#filled++] = Math.round(value * (value < 0 ? 0x8000 : 0x7fff));
      if (this.#filled === this.#pending.length) this.#flush();
    }
  }

  /** Fill the frame that was begun with silence, and hand it over. */
  finish() {
    if (this.#filled === 0) return;
    this.#pending.fill(0, this.#filled);
    this.#flush();
  }

  #flush() {
    const level = Math.sqrt(this.#power / this.#pending.length);
    const frame = { samples: this.#pending, level };
    this.#pending = new Int16Array(frame.samples.length); // before it is emitted: whoever gets it may transfer it
    this.#filled = 0;
    this.#power = 0;
    this.#emit(frame);
  }
}

/**
 * Mean of all channels.
 *
 * @param {readonly Float32Array[]} channels Of equal length; at least one.
 * @returns {Float32Array}
 */
export function downmix(channels) {
  const [first, ...rest] = channels;
  if (first === undefined) throw new RangeError("audio needs at least one channel");
  if (rest.length === 0) return first;
  const mono = Float32Array.from(first);
  for (const channel of rest) {
    for (let i = 0; i < mono.length; i++) mono[i] = /** @type {number} */ (mono[i]) + (channel[i] ?? 0);
  }
  for (let i = 0; i < mono.length; i++) mono[i] = /** @type {number} */ (mono[i]) / channels.length;
  return mono;
}

/**
 * @param {readonly Float32Array[]} channels Of equal length; at least one.
 * @returns {Float32Array} A sample of each in turn.
 */
export function interleave(channels) {
  const [first] = channels;
  if (first === undefined) throw new RangeError("audio needs at least one channel");
  if (channels.length === 1) return first;
  const all = new Float32Array(first.length * channels.length);
  channels.forEach((channel, place) => {
    for (let i = 0; i < first.length; i++) all[i * channels.length + place] = channel[i] ?? 0;
  });
  return all;
}
