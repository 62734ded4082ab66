/**
 * What the connection is like, in the words and units of a person.
 */

import { element } from "../page.js";

/** @typedef {import("../sdk/quality.js").Quality} Quality */

const GRADES = { good: "Good", fair: "Fair", poor: "Poor" };
const WORSE = ["good", "fair", "poor"];

/** @param {number | null} value */
const milliseconds = (value) => (value === null ? "—" : `${Math.round(value)} ms`);

/** @param {number | null} value */
const percent = (value) => (value === null ? "—" : `${(100 * value).toFixed(value < 0.0995 && value > 0 ? 1 : 0)} %`);

/** @param {number | null} value */
const kilobits = (value) => (value === null ? "—" : String(Math.round(value / 1000)));

/** @param {Quality} quality */
function routeOf({ route, protocol }) {
  if (route === null) return "—";
  const by = protocol === null ? "" : `, ${protocol.toUpperCase()}`;
  return `${route === "relay" ? "TURN" : "Direct"}${by}`;
}

/**
 * The worst of several connections, with all their traffic.
 *
 * @param {readonly Quality[]} qualities
 * @returns {Quality | null}
 */
export function worst(qualities) {
  const [first, ...others] = [...qualities].sort((a, b) => WORSE.indexOf(b.grade ?? "") - WORSE.indexOf(a.grade ?? ""));
  if (first === undefined) return null;
  const sum = (/** @type {"bitrateIn" | "bitrateOut"} */ field) =>
    others.reduce((total, other) => total + (other[field] ?? 0), first[field] ?? 0);
  return { ...first, bitrateIn: sum("bitrateIn"), bitrateOut: sum("bitrateOut") };
}

export class ConnectionCard {
  #card = element("quality", HTMLDListElement);

  /** @param {Quality | null} quality */
  show(quality) {
    this.#card.hidden = quality === null;
    if (quality === null) return;
    this.#card.dataset["grade"] = quality.grade ?? "";
    const loss = Math.max(quality.lossIn ?? 0, quality.lossOut ?? 0);
    /** @type {Record<string, string>} */
    const texts = {
      grade: quality.grade === null ? "—" : GRADES[quality.grade],
      "round-trip": milliseconds(quality.roundTrip),
      loss: percent(quality.lossIn === null && quality.lossOut === null ? null : loss),
      jitter: milliseconds(quality.jitter),
      route: routeOf(quality),
      bitrate: `${kilobits(quality.bitrateIn)} / ${kilobits(quality.bitrateOut)} kbit/s`,
    };
    for (const [id, text] of Object.entries(texts)) element(id, HTMLElement).textContent = text;
  }
}
