/**
 * From round trip and loss to a bitrate: the same machine as in the server's native core, with the same test vectors.
 *
 * A condition is believed at once where it is worse than before, and only after a while where it is better, with a margin
 * kept from the thresholds all that time. There is no increase while the sender does not use the rate that it has.
 */

/** @typedef {"excellent" | "good" | "fair" | "poor"} NetworkCondition */

/**
 * The conditions, best first. Each holds where both measures are below its bounds and no one above does.
 *
 * @type {readonly {condition: NetworkCondition, roundTripBelow: number, lossBelow: number, action: "increase" | "hold" | "decrease" | "minimum"}[]}
 *   Seconds, and shares of the packets.
 */
export const TABLE = [
  { condition: "excellent", roundTripBelow: 0.05, lossBelow: 0.01, action: "increase" },
  { condition: "good", roundTripBelow: 0.1, lossBelow: 0.03, action: "hold" },
  { condition: "fair", roundTripBelow: 0.2, lossBelow: 0.05, action: "decrease" },
  { condition: "poor", roundTripBelow: Infinity, lossBelow: Infinity, action: "minimum" },
];
const POOR = TABLE.length - 1;

/** Clocks in floating point miss round intervals by a hair. */
const CLOCK_FUZZ = 1e-9;
/** As does a percentage from a quotient. */
const PERCENT_FUZZ = 1e-6;

/**
 * @typedef {object} BitrateOptions
 * @property {number} start Bits a second to begin with.
 * @property {number} minimum Lowest bits a second.
 * @property {number} maximum Highest bits a second.
 * @property {number} increase Factor of an increase, above 1.
 * @property {number} decrease Factor of a decrease, below 1.
 * @property {number} interval Least seconds between two changes, but for the fall to the minimum.
 * @property {number} margin Share of a bound by which a measure must stay below it for a better condition, 0 to below 1.
 * @property {number} patience Seconds for which it must.
 * @property {number} utilisation Share of the bitrate that the sender must have used for an increase, 0 to 1.
 * @property {number} mostExpectedLoss Highest loss told to the encoder, percent.
 * @property {number} expectedLossFall Percentage points a second by which the loss told to the encoder falls.
 */

/** @type {Readonly<BitrateOptions>} */
export const BITRATES = Object.freeze({
  start: 128_000,
  minimum: 32_000,
  maximum: 256_000,
  increase: 1.2,
  decrease: 0.8,
  interval: 1,
  margin: 0.1,
  patience: 3,
  utilisation: 0.75,
  mostExpectedLoss: 20,
  expectedLossFall: 1,
});

/**
 * @typedef {object} BitrateDecision
 * @property {NetworkCondition} condition The one that is believed.
 * @property {number} bitrate Bits a second for the encoder.
 * @property {number} expectedLoss Percent of loss to tell the encoder, for its forward error correction.
 * @property {boolean} changed Whether the bitrate is another than before.
 */

/** Decides the bitrate of one sender. It has no clock: the caller says what time it is. */
export class BitrateController {
  #options;
  /** Row of the table; null before the first update. @type {number | null} */
  #row = null;
  /** A better row that is not believed yet: the worst that was seen since. @type {{since: number, row: number} | null} */
  #better = null;
  #changedAt = -Infinity;
  #updatedAt = -Infinity;
  #expectedLoss = 0;

  /**
   * @param {Partial<BitrateOptions>} [options]
   * @throws {RangeError} They make no sense.
   */
  constructor(options = {}) {
    this.#options = { ...BITRATES, ...options };
    check(this.#options);
    /** Bits a second for the encoder. */
    this.bitrate = this.#options.start;
  }

  /** The condition that is believed; null before the first update. @returns {NetworkCondition | null} */
  get condition() {
    return this.#row === null ? null : rowOf(this.#row).condition;
  }

  /** Percent of loss to tell the encoder. */
  get expectedLoss() {
    const percent = Math.max(0, Math.ceil(this.#expectedLoss - PERCENT_FUZZ));
    return Math.min(percent, this.#options.mostExpectedLoss);
  }

  /**
   * Take what was measured since the last update.
   *
   * @param {number} now Seconds on any clock; a time before the last one counts as the last one.
   * @param {object} measured
   * @param {number} measured.roundTrip Seconds.
   * @param {number} measured.loss Share of the packets that were lost, 0 to 1.
   * @param {number | null} [measured.sent] Bits a second that were really sent; null where that is not known.
   * @returns {BitrateDecision}
   * @throws {RangeError} A value that is not finite, negative, or a loss above 1; nothing was changed.
   */
  update(now, { roundTrip, loss, sent = null }) {
    demand(Number.isFinite(now), `the time must be a finite number of seconds, not ${now}`);
    demand(Number.isFinite(roundTrip) && roundTrip >= 0, `the round trip must be 0 seconds or more, not ${roundTrip}`);
    demand(loss >= 0 && loss <= 1, `the loss must be a share of 0 to 1, not ${loss}`);
    const at = Math.max(now, this.#updatedAt);
    const passed = Number.isFinite(this.#updatedAt) ? at - this.#updatedAt : 0;
    this.#expectedLoss = Math.max(this.#expectedLoss - this.#options.expectedLossFall * passed, 100 * loss);
    this.#updatedAt = at;
    this.#row = this.#believe(at, roundTrip, loss);
    const before = this.bitrate;
    this.bitrate = this.#next(at, rowOf(this.#row).action, sent);
    const changed = this.bitrate !== before;
    if (changed) this.#changedAt = at;
    const { condition } = rowOf(this.#row);
    return { condition, bitrate: this.bitrate, expectedLoss: this.expectedLoss, changed };
  }

  /**
   * @param {number} now
   * @param {number} roundTrip
   * @param {number} loss
   */
  #believe(now, roundTrip, loss) {
    const measured = classify(roundTrip, loss, 0);
    const before = this.#row;
    if (before === null || measured > before) {
      this.#better = null;
      return measured;
    }
    const clearly = classify(roundTrip, loss, this.#options.margin);
    if (clearly >= before) {
      this.#better = null;
      return before;
    }
    const since = this.#better?.since ?? now;
    const row = Math.max(this.#better?.row ?? 0, clearly);
    if (now - since >= this.#options.patience - CLOCK_FUZZ) {
      this.#better = null;
      return row;
    }
    this.#better = { since, row };
    return before;
  }

  /**
   * @param {number} now
   * @param {"increase" | "hold" | "decrease" | "minimum"} action
   * @param {number | null} sent
   */
  #next(now, action, sent) {
    const { minimum, maximum, increase, decrease, interval, utilisation } = this.#options;
    if (action === "minimum") return minimum;
    const due = now - this.#changedAt >= interval - CLOCK_FUZZ;
    const used = sent === null || sent >= utilisation * this.bitrate;
    let wanted = this.bitrate;
    if (action === "increase" && due && used) wanted = Math.floor(this.bitrate * increase);
    if (action === "decrease" && due) wanted = Math.floor(this.bitrate * decrease);
    return Math.min(maximum, Math.max(minimum, wanted));
  }
}

/**
 * The row that both measures reach, each of them `margin` of the bound below it.
 *
 * @param {number} roundTrip
 * @param {number} loss
 * @param {number} margin
 */
function classify(roundTrip, loss, margin) {
  const reached = TABLE.findIndex(
    (row) => roundTrip < row.roundTripBelow * (1 - margin) && loss < row.lossBelow * (1 - margin),
  );
  return reached < 0 ? POOR : reached;
}

/** @param {number} index */
const rowOf = (index) => /** @type {(typeof TABLE)[number]} */ (TABLE[index]);

/** @param {BitrateOptions} options */
function check(options) {
  const { start, minimum, maximum } = options;
  const order = 0 < minimum && minimum <= start && start <= maximum;
  demand(order, `bitrates must be 0 < minimum <= start <= maximum, not ${minimum}, ${start} and ${maximum}`);
  /** @type {[keyof BitrateOptions, (value: number) => boolean, string][]} */
  const bounds = [
    ["increase", (value) => value > 1, "above 1"],
    ["decrease", (value) => value > 0 && value < 1, "between 0 and 1"],
    ["interval", (value) => value >= 0, "0 seconds or more"],
    ["margin", (value) => value >= 0 && value < 1, "0 to below 1"],
    ["patience", (value) => value >= 0, "0 seconds or more"],
    ["utilisation", (value) => value >= 0 && value <= 1, "0 to 1"],
    ["expectedLossFall", (value) => value >= 0, "0 or more"],
    ["mostExpectedLoss", (value) => value >= 0 && value <= 100, "0 to 100 percent"],
  ];
  for (const [name, fits, wanted] of bounds) {
    demand(Number.isFinite(options[name]) && fits(options[name]), `${name} must be ${wanted}, not ${options[name]}`);
  }
}

/**
 * @param {boolean} condition
 * @param {string} otherwise
 */
function demand(condition, otherwise) {
  if (!condition) throw new RangeError(otherwise);
}
