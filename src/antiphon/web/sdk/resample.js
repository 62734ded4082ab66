/**
 * Conversion of sample rate by a windowed-sinc filter, for browsers that cannot capture at the rate asked for.
 *
 * The filter is a sinc cut off below the lower of the two Nyquist frequencies under a Kaiser window (Kaiser, 1974;
 * Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.5), held as a table of phases between which it
 * interpolates, so that any ratio works.
 */

const PHASES = 256;
const ZERO_CROSSINGS = 24;
const BETA = 8.6; // about 87 dB of stop-band attenuation
const PASS_BAND = 0.92; // of the lower Nyquist frequency; the rest is the filter's transition

/**
 * Modified Bessel function of the first kind, order zero, by its power series.
 *
 * @param {number} x
 */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** Converts one channel, chunk by chunk. */
export class Resampler {
  #step;
  #half;
  #table;
  /** @type {Float32Array} */
  #history;
  /** Place of the next output sample, in input samples from the beginning of `#history`. */
  #place;

  /**
   * @param {number} from Input rate in hertz.
   * @param {number} to Output rate in hertz.
   */
  constructor(from, to) {
    if (!(from > 0) || !(to > 0)) throw new RangeError(`cannot convert ${from} Hz to ${to} Hz`);
    this.#step = from / to;
    const cutoff = Math.min(1, to / from) * PASS_BAND;
    this.#half = Math.ceil(ZERO_CROSSINGS / cutoff);
    const taps = 2 * this.#half;
    this.#table = new Float32Array((PHASES + 1) * taps);
    const scale = bessel(BETA);
    for (let phase = 0; phase <= PHASES; phase++) {
      const row = this.#table.subarray(phase * taps, (phase + 1) * taps);
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) {
        const t = tap - this.#half + 1 - phase / PHASES;
        const edge = t / this.#half;
        const window = Math.abs(edge) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - edge * edge)) / scale;
        const angle = Math.PI * cutoff * t;
        const value = (Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle) * window;
        row[tap] = value;
        sum += value;
      }
      for (let tap = 0; tap < taps; tap++) row[tap] = /** @type {number} */ (row[tap]) / sum;
    }
    this.#history = new Float32Array(this.#half - 1);
    this.#place = this.#half - 1;
  }

  /**
   * @param {Float32Array} input The next samples, any number of them.
   * @returns {Float32Array} What they make possible; the filter keeps about 2 ms back.
   */
  process(input) {
    const taps = 2 * this.#half;
    const samples = new Float32Array(this.#history.length + input.length);
    samples.set(this.#history);
    samples.set(input, this.#history.length);

    const last = samples.length - this.#half - 1;
    const count = Math.max(0, Math.floor((last - this.#place) / this.#step) + 1);
    const output = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const place = this.#place + i * this.#step;
      const whole = Math.floor(place);
      const position = (place - whole) * PHASES;
      const phase = Math.floor(position);
      const blend = position - phase;
      const row = phase * taps;
      const first = whole - this.#half + 1;
      let near = 0;
      let far = 0;
      for (let tap = 0; tap < taps; tap++) {
        const sample = /** @type {number} */ (samples[first + tap]);
        near += sample * /** @type {number} */ (this.#table[row + tap]);
        far += sample * /** @type {number} */ (this.#table[row + taps + tap]);
      }
      output[i] = near + (far - near) * blend;
    }

    const next = this.#place + count * this.#step;
    const keep = Math.min(samples.length, Math.max(0, Math.floor(next) - this.#half + 1));
    this.#history = samples.slice(keep);
    this.#place = next - keep;
    return output;
  }
}
