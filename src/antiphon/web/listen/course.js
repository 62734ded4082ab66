/**
 * Buffer and latency over the last seconds, drawn on a canvas.
 */

import { element } from "../page.js";

const SPAN_MS = 30_000;
/** @typedef {"ink" | "grey" | "rule" | "soft" | "lapis" | "rubric"} Colour */

/** About thirty samples a second. */
const MOST = 1_200;
const SCALES_MS = [100, 150, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/** Where motion is not wanted. */
const STILL_EVERY_MS = 1_000;
const INSET = { left: 56, right: 16, top: 14, bottom: 12 };
const WIDE_INSET = { left: 84, right: 28, top: 20, bottom: 12 };
const WIDE = 560;

/**
 * @typedef {object} Sample
 * @property {number} at Milliseconds.
 * @property {number} level Milliseconds, as are the others.
 * @property {number} target
 * @property {number} latency
 * @property {number} concealed In all.
 */

export class Course {
  #canvas = element("course", HTMLCanvasElement);
  #context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {Sample[]} */
  #samples = [];
  #running = false;
  #drawnAt = -Infinity;
  #size = { width: 0, height: 0, ratio: 1 };
  /** @type {Record<Colour, string>} */
  #colours = { ink: "", grey: "", rule: "", soft: "", lapis: "", rubric: "" };
  #font = "";

  constructor() {
    new ResizeObserver(([entry]) => {
      const { width = 0, height = 0 } = entry?.contentRect ?? {};
      this.#size = { width, height, ratio: devicePixelRatio };
      this.#canvas.width = Math.round(width * devicePixelRatio);
      this.#canvas.height = Math.round(height * devicePixelRatio);
      this.#draw(performance.now());
    }).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#readColours();
      this.#draw(performance.now());
    });
    this.#readColours();
  }

  /** @param {Omit<Sample, "at">} sample */
  add({ level, target, latency, concealed }) {
    this.#samples.push({ at: performance.now(), level, target, latency, concealed });
    if (this.#samples.length > MOST) this.#samples.shift();
  }

  start() {
    this.#samples = [];
    if (this.#running) return;
    this.#running = true;
    const frame = (/** @type {number} */ now) => {
      if (!this.#running) return;
      if (!this.#still.matches || now - this.#drawnAt >= STILL_EVERY_MS) this.#draw(now);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  /** What was drawn last stays. */
  stop() {
    this.#running = false;
  }

  get #inset() {
    return this.#size.width > WIDE ? WIDE_INSET : INSET;
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of /** @type {Colour[]} */ (Object.keys(this.#colours))) {
      this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.#font = `12px ${style.getPropertyValue("--sans")}`;
  }

  /** @param {number} now */
  #draw(now) {
    this.#drawnAt = now;
    const { width, height, ratio } = this.#size;
    const pen = this.#context;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const inset = this.#inset;
    const inner = { width: width - inset.left - inset.right, height: height - inset.top - inset.bottom };
    if (inner.width <= 0 || inner.height <= 0) return;
    const begun = now - SPAN_MS;
    const samples = this.#samples.filter(({ at }) => at >= begun - 1_000);
    const highest = Math.max(80, ...samples.map(({ latency, target }) => Math.max(latency, target)));
    const top = SCALES_MS.find((scale) => scale >= 1.05 * highest) ?? highest;
    const x = (/** @type {number} */ at) => inset.left + (inner.width * (at - begun)) / SPAN_MS;
    const y = (/** @type {number} */ ms) => inset.top + inner.height * (1 - Math.min(ms, top) / top);
    this.#lines(top, width, y);
    if (samples.length === 0) return;

    pen.save();
    pen.beginPath();
    pen.rect(inset.left, 0, inner.width, height);
    pen.clip();
    this.#holes(samples, x, height);
    const path = (/** @type {"level" | "target" | "latency"} */ what) => {
      pen.beginPath();
      for (const sample of samples) pen.lineTo(x(sample.at), y(sample[what]));
    };
    pen.lineJoin = "round";
    path("level");
    pen.strokeStyle = this.#colours.lapis;
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineTo(x(/** @type {Sample} */ (samples.at(-1)).at), y(0));
    pen.lineTo(x(/** @type {Sample} */ (samples[0]).at), y(0));
    pen.globalAlpha = 0.22;
    pen.fillStyle = this.#colours.lapis;
    pen.fill();
    pen.globalAlpha = 1;
    path("target");
    pen.setLineDash([5, 4]);
    pen.strokeStyle = this.#colours.grey;
    pen.stroke();
    pen.setLineDash([]);
    path("latency");
    pen.strokeStyle = this.#colours.ink;
    pen.stroke();
    pen.restore();
  }

  /**
   * @param {number} top Milliseconds.
   * @param {number} width
   * @param {(ms: number) => number} y
   */
  #lines(top, width, y) {
    const pen = this.#context;
    pen.font = this.#font;
    pen.fillStyle = this.#colours.soft;
    pen.strokeStyle = this.#colours.rule;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const at = Math.round(y(part * top)) + 0.5;
      pen.beginPath();
      pen.moveTo(this.#inset.left, at);
      pen.lineTo(width - this.#inset.right, at);
      pen.stroke();
      if (part % 0.5 === 0) pen.fillText(label(part * top), this.#inset.left - 8, at);
    }
  }

  /**
   * A bar wherever sound was made up.
   *
   * @param {Sample[]} samples
   * @param {(at: number) => number} x
   * @param {number} height
   */
  #holes(samples, x, height) {
    const pen = this.#context;
    pen.fillStyle = this.#colours.rubric;
    for (let i = 1; i < samples.length; i++) {
      const [before, sample] = [/** @type {Sample} */ (samples[i - 1]), /** @type {Sample} */ (samples[i])];
      if (sample.concealed <= before.concealed) continue;
      const from = x(before.at);
      pen.fillRect(from, height - this.#inset.bottom - 14, Math.max(2, x(sample.at) - from), 14);
    }
  }
}

/** @param {number} ms */
const label = (ms) => (ms >= 1_000 ? `${ms / 1_000} s` : `${ms} ms`);
