/**
 * How late packets come: what the jitter buffer has to make up for.
 *
 * A packet's transit is its arrival less its place in the stream, by two clocks that need not agree. The least transit of
 * late is the network at its quickest, and follows a drift of the clocks; what a packet took beyond it, is its delay.
 */

const BASE_SECONDS = 10;
const PEAK_SECONDS = 15;
/** Beyond what was seen: a quantum of the audio thread either way, the decoder, and that what was late may be later. */
const MARGIN_MS = 10;
const MARGIN_SHARE = 0.1;
/** How fast the target shrinks, in milliseconds a second. */
const SHRINK = 10;

export class Arrivals {
  #rate;
  #most;
  #margin;
  #base;
  #peak;
  /** @type {number} */
  #target;
  /** @type {number | null} */
  #at = null;

  /**
   * @param {object} options
   * @param {number} options.sampleRate Hertz; all times are counted in samples.
   * @param {number} options.first Target to begin with.
   * @param {number} options.most Highest target.
   */
  constructor({ sampleRate, first, most }) {
    this.#rate = sampleRate;
    this.#most = most;
    this.#margin = (MARGIN_MS * sampleRate) / 1000;
    this.#base = new SlidingLeast(BASE_SECONDS);
    this.#peak = new SlidingLeast(PEAK_SECONDS);
    this.#target = Math.min(first, most);
  }

  /** Delay behind the quickest packet that the buffer should make up for. */
  get target() {
    return this.#target;
  }

  /** The highest delay of late. */
  get peak() {
    return Math.max(0, -this.#peak.least(0));
  }

  /** Least transit of late; null before the first packet. */
  get base() {
    const base = this.#base.least(Infinity);
    return base === Infinity ? null : base;
  }

  /**
   * @param {number} now When the packet came.
   * @param {number} place Of its first sample in the stream.
   * @returns {boolean} Whether it came later than any buffer makes up for: then counting has begun anew.
   */
  arrived(now, place) {
    const second = Math.floor(now / this.#rate);
    const transit = now - place;
    const stalled = transit - this.#base.least(transit) > this.#most;
    if (stalled) this.rebase();
    this.#base.put(second, transit);
    const delay = transit - this.#base.least(transit);
    this.#peak.put(second, -delay);
    const wanted = Math.min(this.#most, this.peak * (1 + MARGIN_SHARE) + this.#margin);
    const passed = this.#at === null ? 0 : Math.max(0, now - this.#at) / this.#rate;
    const shrunk = this.#target - (SHRINK / 1000) * this.#rate * passed;
    this.#target = Math.max(wanted, shrunk);
    this.#at = now;
    return stalled;
  }

  /** The stream goes on at another time: transits before and after cannot be compared. */
  rebase() {
    this.#base.clear();
    this.#at = null;
  }
}

/** The least value of the last seconds, by whole seconds. */
class SlidingLeast {
  #seconds;
  /** @type {{second: number, value: number}[]} */
  #buckets = [];

  /** @param {number} seconds */
  constructor(seconds) {
    this.#seconds = seconds;
  }

  /**
   * @param {number} second
   * @param {number} value
   */
  put(second, value) {
    const newest = this.#buckets.at(-1);
    if (newest !== undefined && second <= newest.second) newest.value = Math.min(newest.value, value);
    else this.#buckets.push({ second, value });
    while ((this.#buckets[0]?.second ?? second) <= second - this.#seconds) this.#buckets.shift();
  }

  /** @param {number} otherwise Where there is none. */
  least(otherwise) {
    let least = otherwise;
    for (const { value } of this.#buckets) if (value < least) least = value;
    return least;
  }

  clear() {
    this.#buckets = [];
  }
}
