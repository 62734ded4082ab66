/**
 * Time for what waits, retries and paces itself; the clock is an argument.
 */

/**
 * @typedef {object} Timers
 * @property {() => number} now Milliseconds, never going back.
 * @property {(milliseconds: number, action: () => void) => () => void} after Returns what cancels it.
 */

/** @type {Timers} */
export const systemTimers = {
  now: () => performance.now(),
  after: (milliseconds, action) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Deadlines by name; a newer one takes the place of an older one of the same name. */
export class Deadlines {
  #timers;
  /** @type {Map<string, () => void>} */
  #pending = new Map();

  /** @param {Timers} timers */
  constructor(timers) {
    this.#timers = timers;
  }

  /**
   * @param {string} name
   * @param {number} milliseconds
   * @param {() => void} action
   */
  set(name, milliseconds, action) {
    this.cancel(name);
    const cancel = this.#timers.after(milliseconds, () => {
      this.#pending.delete(name);
      action();
    });
    this.#pending.set(name, cancel);
  }

  /** @param {string} name */
  has(name) {
    return this.#pending.has(name);
  }

  /** @param {readonly string[]} names */
  cancel(...names) {
    for (const name of names) {
      this.#pending.get(name)?.();
      this.#pending.delete(name);
    }
  }

  cancelAll() {
    this.cancel(...this.#pending.keys());
  }
}

/**
 * Exponential backoff with full jitter and a cap: each wait is drawn from nothing to a ceiling that doubles (Brooker,
 * "Exponential Backoff and Jitter", 2015).
 */
export class Backoff {
  #first;
  #cap;
  #giveUp;
  #random;
  #attempt = 0;
  /** @type {number | null} */
  #since = null;

  /**
   * @param {object} options
   * @param {number} options.first First ceiling, in milliseconds.
   * @param {number} options.cap Highest ceiling, in milliseconds.
   * @param {number} options.giveUp Milliseconds without success after which there is no further attempt.
   * @param {() => number} options.random 0 to 1.
   */
  constructor({ first, cap, giveUp, random }) {
    this.#first = first;
    this.#cap = cap;
    this.#giveUp = giveUp;
    this.#random = random;
  }

  get hasFailed() {
    return this.#attempt > 0;
  }

  succeeded() {
    this.#attempt = 0;
    this.#since = null;
  }

  /**
   * @param {number} now Milliseconds.
   * @param {number} least Milliseconds to wait in any case.
   * @returns {number | null} Milliseconds to wait; null for giving up.
   */
  failed(now, least) {
    this.#since ??= now;
    if (now - this.#since > this.#giveUp) return null;
    const ceiling = Math.min(this.#cap, this.#first * 2 ** this.#attempt++);
    return Math.max(least, this.#random() * ceiling);
  }
}

/** A token bucket. */
export class Allowance {
  #rate;
  #burst;
  #level;
  #at = 0;

  /**
   * @param {number} rate Tokens a second.
   * @param {number} burst Tokens it holds; it begins full.
   */
  constructor(rate, burst) {
    this.#rate = rate;
    this.#burst = burst;
    this.#level = burst;
  }

  /** @param {number} now Milliseconds. */
  fill(now) {
    this.#level = this.#burst;
    this.#at = now;
  }

  /**
   * @param {number} now Milliseconds.
   * @returns {boolean} Whether there was a token to take.
   */
  take(now) {
    this.#level = Math.min(this.#burst, this.#level + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
    if (this.#level < 1) return false;
    this.#level--;
    return true;
  }
}
