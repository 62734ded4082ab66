/**
 * Sound where there is none: the last pitch period again and again, fading out.
 */

import { TimeScale, fade } from "./time-scale.js";

/** As loud as it was for so long, then fading. */
const HOLD_MS = 20;
/** Silent from then on. */
const FADED_MS = 100;
/** Over so long the beginning is bent to where the sound stopped. */
const BEND_MS = 2;
/** What is less like itself than this has no pitch: the longest stretch of it sounds least like one. */
const PITCHED = 0.5;

export class Concealment {
  #scale;
  #period;
  #age = 0;
  #hold;
  #faded;
  #bend;
  #last;
  #jump;
  #pitched = false;

  /**
   * @param {Float32Array} history What was heard until now, at least twice the longest lag.
   * @param {number} end Where it ends in `history`.
   * @param {number} sampleRate Hertz.
   * @param {TimeScale} scale
   */
  constructor(history, end, sampleRate, scale) {
    const samples = (/** @type {number} */ ms) => Math.round((ms * sampleRate) / 1000);
    this.#scale = scale;
    this.#hold = samples(HOLD_MS);
    this.#faded = samples(FADED_MS);
    this.#bend = samples(BEND_MS);
    const last = history.slice(end - scale.needed, end);
    this.#period = this.#onePeriod(last);
    this.#last = sample(last, last.length - 1);
    this.#jump = this.#last - sample(this.#period, 0);
  }

  /** Nothing but silence comes from now on. */
  get isOver() {
    return this.#age >= this.#faded;
  }

  /**
   * @param {Float32Array} output Takes the next samples.
   * @param {number} from
   * @param {number} to
   */
  fill(output, from, to) {
    for (let i = from; i < to; i++) {
      const age = this.#age++;
      if (age >= this.#faded) {
        output[i] = 0;
        continue;
      }
      const gain = age < this.#hold ? 1 : 1 - fade(age - this.#hold, this.#faded - this.#hold);
      output[i] = gain * this.#bent(age, sample(this.#period, age % this.#period.length));
    }
  }

  /**
   * The beginning, bent to where the sound stopped: a pitch as a whole, so that it keeps its shape, and noise by a fade, so
   * that it gets no louder.
   *
   * @param {number} age
   * @param {number} sound
   */
  #bent(age, sound) {
    if (age >= this.#bend) return sound;
    const weight = fade(age, this.#bend);
    return this.#pitched ? sound + (1 - weight) * this.#jump : sound + (1 - weight) * (this.#last - sound);
  }

  /**
   * A period whose end goes over into its beginning.
   *
   * @param {Float32Array} last
   */
  #onePeriod(last) {
    const found = this.#scale.find(last.slice().reverse(), 0);
    this.#pitched = found !== null && found.similarity >= PITCHED;
    const lag = found !== null && this.#pitched ? found.lag : this.#scale.longest;
    const from = last.length - lag;
    const period = last.slice(from);
    const joint = Math.min(this.#bend, lag >> 2);
    for (let i = 0; i < joint; i++) {
      const at = lag - joint + i;
      const before = sample(last, from - joint + i);
      period[at] = sample(period, at) + fade(i, joint) * (before - sample(period, at));
    }
    return period;
  }
}

/**
 * @param {Float32Array} signal
 * @param {number} index
 */
const sample = (signal, index) => /** @type {number} */ (signal[index]);
