/**
 * The figures beside the drawing, as text, no more often than can be read.
 */

import { element } from "../page.js";

const EVERY_MS = 250;

/** @typedef {import("../sdk/player/events.js").PlayerStats} PlayerStats */

export class Figures {
  #shownAt = -Infinity;
  #cells = new Map(
    [
      "buffered",
      "target",
      "latency",
      "jitter",
      "got",
      "round-trip",
      "underruns",
      "concealed",
      "scaled",
      "dropped",
      "reconnects",
      "decoder",
    ].map((id) => [id, element(id, HTMLElement)]),
  );

  /**
   * @param {PlayerStats} stats
   * @param {{now?: boolean}} [how] Whether they are shown whatever was shown just before.
   */
  show(stats, { now = false } = {}) {
    if (!now && performance.now() - this.#shownAt < EVERY_MS) return;
    this.#shownAt = performance.now();
    const share = stats.played > 0 ? (100 * stats.concealed) / stats.played : 0;
    this.#set("buffered", ms(stats.level));
    this.#set("target", ms(stats.target));
    this.#set("latency", ms(stats.latency));
    this.#set("jitter", ms(stats.jitter));
    this.#set("got", `${(stats.bitrate / 1_000).toFixed(1)} kbit/s`);
    this.#set("round-trip", stats.roundTrip === null ? "—" : ms(stats.roundTrip));
    this.#set("underruns", stats.underruns === 1 ? "once" : `${stats.underruns} times`, stats.underruns > 0);
    this.#set("concealed", `${ms(stats.concealed)} (${share.toFixed(1)} %)`, stats.concealed > 0);
    this.#set("scaled", `${ms(stats.stretched)} / ${ms(stats.shortened)}`);
    const dropped = [
      ...(stats.dropped > 0 ? [`${ms(stats.dropped)} here`] : []),
      ...(stats.lost > 0 ? [`${stats.lost} packets there`] : []),
      ...(stats.bad > 0 ? [`${stats.bad} unreadable`] : []),
    ];
    this.#set("dropped", dropped.join(", ") || "nothing", dropped.length > 0);
    this.#set("reconnects", stats.reconnects === 1 ? "once" : `${stats.reconnects} times`, stats.reconnects > 0);
    this.#set("decoder", { webcodecs: "WebCodecs", wasm: "WebAssembly", pcm: "none", "": "—" }[stats.decoder]);
  }

  /**
   * @param {string} id
   * @param {string} text
   * @param {boolean} [bad]
   */
  #set(id, text, bad = false) {
    const cell = this.#cells.get(id);
    if (cell === undefined) return;
    if (cell.textContent !== text) cell.textContent = text;
    cell.classList.toggle("bad", bad);
  }
}

/** @param {number} value */
const ms = (value) => (value >= 10_000 ? `${(value / 1_000).toFixed(1)} s` : `${Math.round(value)} ms`);
