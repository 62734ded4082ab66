/**
 * Time-scale modification: sound made shorter or longer by whole pitch periods, without a change of pitch.
 *
 * Waveform similarity overlap-add (W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity
 * (WSOLA) for high quality time-scale modification of speech", ICASSP 1993): the lag at which the signal is most like
 * itself is found by normalised correlation, and the signal is faded over into itself by that lag.
 */

/** Shortest lag taken: 400 Hz. */
const MIN_LAG_MS = 2.5;
/** Longest lag taken: 66 Hz. */
const MAX_LAG_MS = 15;
/** Least length over which a lag's likeness is measured. */
const WINDOW_MS = 10;
/** The coarse search works at about this rate, in hertz. */
const COARSE_RATE = 8_000;
/** Mean square under which a signal has no shape worth comparing: −80 dB of full scale. */
const NOTHING = 1e-8;

/**
 * @typedef {object} Match
 * @property {number} lag Samples between the two alike pieces.
 * @property {number} similarity Normalised correlation of the two, −1 to 1; 1 where there is nothing to hear.
 */

export class TimeScale {
  #least;
  #window;
  #step;
  #coarse;

  /** @param {number} sampleRate Hertz. */
  constructor(sampleRate) {
    const samples = (/** @type {number} */ ms) => Math.max(1, Math.round((ms * sampleRate) / 1000));
    this.#least = samples(MIN_LAG_MS);
    this.#window = samples(WINDOW_MS);
    this.#step = Math.max(1, Math.floor(sampleRate / COARSE_RATE));
    /** Samples, the longest lag looked for. */
    this.longest = samples(MAX_LAG_MS);
    /** Samples that a search looks at; with fewer, it looks for shorter lags. */
    this.needed = 2 * this.longest;
    this.#coarse = new Float32Array(Math.ceil(this.needed / this.#step));
  }

  /**
   * The best lag for the start of a signal.
   *
   * @param {Float32Array} signal
   * @param {number} from First sample.
   * @returns {Match | null} Null where there is too little of it.
   */
  find(signal, from) {
    const length = Math.min(signal.length - from, this.needed);
    const longest = length >> 1;
    if (longest < this.#least + this.#step) return null;
    const window = Math.min(this.#window, length - longest);
    if (energy(signal, from, length) < NOTHING * length) return { lag: longest, similarity: 1 };
    const near = this.#coarseLag(signal, from, length, window) * this.#step;
    let best = { lag: near, similarity: -1 };
    const most = Math.min(longest, near + this.#step);
    for (let lag = Math.max(this.#least, near - this.#step); lag <= most; lag++) {
      const similarity = likeness(signal, from, lag, Math.min(Math.max(lag, window), length - lag));
      if (similarity > best.similarity) best = { lag, similarity };
    }
    return best.similarity === -1 ? null : best;
  }

  /**
   * @param {Float32Array} signal
   * @param {number} from
   * @param {number} length
   * @param {number} window
   */
  #coarseLag(signal, from, length, window) {
    const [step, coarse] = [this.#step, this.#coarse];
    const whole = Math.floor(length / step);
    for (let i = 0; i < whole; i++) {
      let sum = 0;
      for (let j = 0; j < step; j++) sum += at(signal, from + i * step + j);
      coarse[i] = sum;
    }
    const looked = Math.floor(window / step);
    const most = Math.min(Math.floor(length / 2 / step), whole - looked);
    let best = Math.ceil(this.#least / step);
    let bestScore = -Infinity;
    for (let lag = best; lag <= most; lag++) {
      let product = 0;
      let power = 0;
      for (let i = 0; i < looked; i++) {
        const b = at(coarse, i + lag);
        product += at(coarse, i) * b;
        power += b * b;
      }
      // of one sign and without a root: the order is the same as that of the normalised correlation
      const score = (product * Math.abs(product)) / (power + 1e-12);
      if (score > bestScore) [best, bestScore] = [lag, score];
    }
    return best;
  }
}

/**
 * Likeness of all that a fade by `lag` would mix, so that nothing short is faded away unseen.
 *
 * @param {Float32Array} signal
 * @param {number} from
 * @param {number} lag
 * @param {number} length
 */
function likeness(signal, from, lag, length) {
  let product = 0;
  let first = 0;
  let second = 0;
  for (let i = from; i < from + length; i++) {
    const a = at(signal, i);
    const b = at(signal, i + lag);
    product += a * b;
    first += a * a;
    second += b * b;
  }
  return first > 0 && second > 0 ? product / Math.sqrt(first * second) : 0;
}

/**
 * Weight of the new at sample `i` of a fade over `length`: rises from 0 to 1 with no bend at either end.
 *
 * @param {number} i
 * @param {number} length
 */
export function fade(i, length) {
  const x = (i + 0.5) / length;
  return x * x * (3 - 2 * x);
}

/**
 * @param {Float32Array} signal
 * @param {number} index
 */
const at = (signal, index) => /** @type {number} */ (signal[index]);

/**
 * @param {Float32Array} signal
 * @param {number} from
 * @param {number} length
 */
function energy(signal, from, length) {
  let sum = 0;
  for (let i = from; i < from + length; i++) sum += at(signal, i) ** 2;
  return sum;
}
