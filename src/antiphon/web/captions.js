/**
 * The transcript on the page: finals that stay, partials that change, and a view that follows the newest words.
 */

import { clockTime } from "./exports.js";

/** @typedef {import("./transcript.js").Line} Line */
/** @typedef {import("./transcript.js").Transcript} Transcript */

/** Pixels from the end within which a reader still counts as following. */
const FOLLOWING = 48;

export class CaptionsView {
  #scroll;
  #lines;
  #partials;
  #latest;
  #head;
  /** @type {Map<string, HTMLLIElement>} */
  #shown = new Map();
  #following = true;

  /**
   * @param {object} elements
   * @param {HTMLElement} elements.scroll
   * @param {HTMLOListElement} elements.lines
   * @param {HTMLOListElement} elements.partials
   * @param {HTMLButtonElement} elements.latest Brings a reader who went back to the newest words.
   * @param {(line: Line | null) => HTMLElement} [head] What stands beside the words; the time by default.
   */
  constructor({ scroll, lines, partials, latest }, head = timeOf) {
    this.#head = head;
    this.#scroll = scroll;
    this.#lines = lines;
    this.#partials = partials;
    this.#latest = latest;
    scroll.addEventListener("scroll", () => {
      this.#following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOWING;
      if (this.#following) latest.hidden = true;
    });
    latest.addEventListener("click", () => {
      this.#following = true;
      this.#follow();
      scroll.focus();
    });
    new ResizeObserver(() => this.#follow()).observe(scroll);
  }

  /**
   * @param {Transcript} transcript
   * @param {string} waiting Shown in the place of partials while there are none; "" for nothing.
   */
  show(transcript, waiting) {
    this.#showFinals(transcript.lines);
    this.#showPartials([...transcript.partials.values()], waiting);
    this.#follow();
  }

  /** @param {readonly Line[]} lines */
  #showFinals(lines) {
    if (lines.length < this.#shown.size) {
      this.#lines.replaceChildren();
      this.#shown.clear();
    }
    if (lines.length === this.#shown.size) return;
    lines.forEach((line, i) => {
      if (this.#shown.has(line.key)) return;
      const item = this.#item(line);
      this.#shown.set(line.key, item);
      this.#lines.insertBefore(item, this.#lines.children[i] ?? null);
    });
  }

  /**
   * @param {readonly Line[]} partials
   * @param {string} waiting
   */
  #showPartials(partials, waiting) {
    const spoken = partials.filter((line) => line.text !== "");
    const items = spoken.map((line) => this.#item(line));
    if (items.length === 0 && waiting !== "") {
      const item = document.createElement("li");
      item.className = "waiting";
      item.append(this.#head(null), textOf(waiting));
      items.push(item);
    }
    this.#partials.replaceChildren(...items);
  }

  /** @param {Line} line */
  #item(line) {
    const item = document.createElement("li");
    const words = textOf(line.text);
    if (line.language !== "") words.lang = line.language;
    item.append(this.#head(line), words);
    return item;
  }

  #follow() {
    if (this.#following) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    else if (this.#scroll.scrollHeight > this.#scroll.clientHeight) this.#latest.hidden = false;
  }
}

/** @param {string} text */
function textOf(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

/** @param {Line | null} line */
function timeOf(line) {
  const time = document.createElement("time");
  if (line === null) return time;
  time.textContent = clockTime(line.start);
  time.dateTime = `PT${line.start}S`;
  return time;
}
