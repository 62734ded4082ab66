/**
 * The level of the sound, written as square notes on a stave of four lines.
 */

const FLOOR_DB = -54;
const TOP_DB = -12; // of the root mean square; speech seldom goes beyond
const STEPS = 8; // from the space under the lowest line to the space above the highest
const FRAMES_PER_NOTE = 4;
const NOTE_PITCH = 9; // CSS pixels from one note to the next
const NOTE_SIZE = 7;
const MAX_NOTES = 400;
const SPOKEN_EVERY_NOTES = 6;

/** @typedef {{step: number, speech: boolean}} Note */

/** @param {number} level Root mean square, 0 to 1. @returns {number} dB below full scale. */
export const decibels = (level) => (level > 0 ? Math.max(-96, 20 * Math.log10(level)) : -96);

/** @param {number} level Root mean square, 0 to 1. @returns {number} Place on the stave, 0 to 8; -1 for too quiet to write. */
export function staveStep(level) {
  const db = decibels(level);
  if (db < FLOOR_DB) return -1;
  return Math.min(STEPS, Math.round(((db - FLOOR_DB) / (TOP_DB - FLOOR_DB)) * STEPS));
}

export class StaveMeter {
  #canvas;
  #meter;
  /** @type {Note[]} */
  #notes = [];
  #level = 0;
  #frames = 0;
  #untilSpoken = 0;
  #drawn = true;
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  /** Whether the server hears speech. */
  speech = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} meter Element with the role `meter`.
   */
  constructor(canvas, meter) {
    this.#canvas = canvas;
    this.#meter = meter;
    new ResizeObserver(() => this.#invalidate()).observe(canvas);
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.#invalidate());
    }
    this.#still.addEventListener("change", () => this.#invalidate());
    this.reset();
  }

  /** @param {number} level Of 20 ms of sound, 0 to 1. */
  push(level) {
    this.#level = Math.max(this.#level, level);
    if (++this.#frames < FRAMES_PER_NOTE) return;
    this.#notes.push({ step: staveStep(this.#level), speech: this.speech });
    if (this.#notes.length > MAX_NOTES) this.#notes.shift();
    if (--this.#untilSpoken <= 0) {
      this.#untilSpoken = SPOKEN_EVERY_NOTES;
      this.#say(decibels(this.#level));
    }
    this.#level = 0;
    this.#frames = 0;
    this.#invalidate();
  }

  reset() {
    this.#notes = [];
    this.#level = 0;
    this.#frames = 0;
    this.speech = false;
    this.#say(-96);
    this.#invalidate();
  }

  /** @param {number} db */
  #say(db) {
    const value = Math.round(Math.max(-60, Math.min(0, db)));
    this.#meter.setAttribute("aria-valuenow", String(value));
    this.#meter.setAttribute("aria-valuetext", db < FLOOR_DB ? "silent" : `${value} decibels`);
  }

  #invalidate() {
    if (!this.#drawn) return;
    this.#drawn = false;
    requestAnimationFrame(() => {
      this.#drawn = true;
      this.#draw();
    });
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    context.scale(scale, scale);

    const style = getComputedStyle(this.#canvas);
    const gap = height / 5;
    const at = (/** @type {number} */ step) => height - gap / 2 - (step * gap) / 2;
    context.fillStyle = style.getPropertyValue("--stave");
    for (const step of [1, 3, 5, 7]) context.fillRect(0, Math.round(at(step)), width, 1);
    drawClef(context, at, gap, style.getPropertyValue("--rubric"));

    const left = 34;
    const colours = { speech: style.getPropertyValue("--note"), sound: style.getPropertyValue("--note-quiet") };
    if (this.#still.matches) this.#drawBar(context, at, left, width, colours);
    else this.#drawNotes(context, at, left, width, colours);
  }

  /**
   * Notes in the order they were heard, the newest at the right.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {(step: number) => number} at
   * @param {number} left
   * @param {number} width
   * @param {{speech: string, sound: string}} colours
   */
  #drawNotes(context, at, left, width, colours) {
    /** @type {Note | null} */
    let later = null;
    let x = width - NOTE_PITCH - 4;
    for (let i = this.#notes.length - 1; i >= 0 && x > left; i--, x -= NOTE_PITCH) {
      const note = /** @type {Note} */ (this.#notes[i]);
      context.globalAlpha = Math.min(1, (x - left) / 90);
      context.fillStyle = note.speech ? colours.speech : colours.sound;
      if (note.step >= 0) {
        context.fillRect(x, at(note.step) - NOTE_SIZE / 2, NOTE_SIZE, NOTE_SIZE);
        if (later !== null && later.step >= 0 && Math.abs(later.step - note.step) > 1) {
          const [top, bottom] = [Math.max(later.step, note.step), Math.min(later.step, note.step)];
          context.fillRect(x + NOTE_SIZE, at(top), 1.25, at(bottom) - at(top));
        }
      }
      later = note;
    }
    context.globalAlpha = 1;
  }

  /**
   * The level of now, without movement along the stave.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {(step: number) => number} at
   * @param {number} left
   * @param {number} width
   * @param {{speech: string, sound: string}} colours
   */
  #drawBar(context, at, left, width, colours) {
    const note = this.#notes.at(-1);
    if (note === undefined) return;
    context.fillStyle = note.speech ? colours.speech : colours.sound;
    const pitch = (width - left) / (STEPS + 2);
    for (let step = 0; step <= note.step; step++) {
      context.fillRect(left + (step + 0.5) * pitch, at(step) - NOTE_SIZE / 2, NOTE_SIZE * 2, NOTE_SIZE);
    }
  }
}

/**
 * A C clef on the upper middle line.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {(step: number) => number} at
 * @param {number} gap
 * @param {string} colour
 */
function drawClef(context, at, gap, colour) {
  const middle = at(5);
  context.fillStyle = colour;
  context.fillRect(6, middle - gap * 0.95, 2, gap * 1.9);
  context.fillRect(8, middle - gap * 0.95, 8, gap * 0.7);
  context.fillRect(8, middle + gap * 0.25, 8, gap * 0.7);
}
