/**
 * The sheet of captions with what can be done to it: download, copy, clear, and make room for others.
 */

import { CaptionsView } from "./captions.js";
import { EXPORTS, toText } from "./exports.js";
import { element, saveAs } from "./page.js";
import { Transcript } from "./transcript.js";

/** @typedef {import("./transcript.js").Line} Line */
/** @typedef {import("./sdk/results.js").Result} Result */
/** @typedef {"microphone" | "tab" | "file"} Source */

const COPIED_MS = 2_000;

/** Named by the local time, so that files sort by it. */
function fileName() {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
  return `captions-${local.slice(0, 16).replace("T", "-").replace(":", "")}`;
}

export class Sheet {
  #transcript = new Transcript();
  #view = new CaptionsView({
    scroll: element("captions", HTMLDivElement),
    lines: element("lines", HTMLOListElement),
    partials: element("partials", HTMLOListElement),
    latest: element("latest", HTMLButtonElement),
  });
  #empty = element("empty", HTMLDivElement);
  #copy = element("copy", HTMLButtonElement);
  #clear = element("clear", HTMLButtonElement);
  /** @type {NodeListOf<HTMLButtonElement>} */
  #downloads = document.querySelectorAll("button[data-format]");

  /** @type {Source} Where the words that are shown come from. */
  #from = "microphone";
  #saved = true;
  #warned = false;
  #replace = false;
  /** What "Undo clear" brings back. @type {Line[]} */
  #cleared = [];

  /** Shown in the place of the words to come; "" for nothing. */
  #waiting = "";
  #running = false;

  constructor() {
    for (const button of this.#downloads) {
      const format = /** @type {keyof typeof EXPORTS} */ (button.dataset["format"]);
      button.addEventListener("click", () => {
        const { mime, write } = EXPORTS[format];
        saveAs(`${fileName()}.${format}`, mime, write(this.#transcript.lines));
        this.#saved = true;
      });
    }
    this.#copy.hidden = !("clipboard" in navigator);
    this.#copy.addEventListener("click", () => void this.#copyText());
    this.#clear.addEventListener("click", () => this.#clearOrUndo());
    this.#show();
  }

  get isEmpty() {
    return this.#transcript.isEmpty;
  }

  /**
   * Live sound goes on below the live sound before it; a file has its own timeline and needs an empty sheet.
   *
   * @param {Source} from
   * @returns {boolean} Whether there is room; false once where words would be lost that were never saved.
   */
  makeRoom(from) {
    this.#replace = !this.isEmpty && (from === "file" || this.#from === "file");
    if (this.#replace && !this.#saved && !this.#warned) {
      this.#warned = true;
      return false;
    }
    this.#warned = false;
    return true;
  }

  /**
   * The new sound is there, and what it replaces may go.
   *
   * @param {Source} from
   * @returns {number} Where it begins on the sheet's timeline, in seconds.
   */
  begin(from) {
    if (this.#replace) this.#transcript.clear();
    this.#replace = false;
    this.#cleared = [];
    this.#from = from;
    const start = this.#transcript.end;
    this.beginTake(start);
    return start;
  }

  /** @param {number} offset Where the results to come begin on the sheet's timeline, in seconds. */
  beginTake(offset) {
    this.#transcript.beginTake(offset);
    this.#show();
  }

  /** What is still being spoken will not be finished. */
  endTake() {
    this.beginTake(this.#transcript.end);
  }

  /** @param {Result} result */
  apply(result) {
    if (this.#transcript.apply(result) === "final") {
      this.#saved = false;
      this.#cleared = [];
    }
    this.#show();
  }

  /**
   * @param {boolean} running Whether words may come.
   * @param {string} [waiting] What to show in their place until they do.
   */
  expect(running, waiting = "") {
    this.#running = running;
    this.#waiting = waiting;
    this.#show();
  }

  #show() {
    this.#view.show(this.#transcript, this.#waiting);
    const { isEmpty } = this;
    this.#empty.hidden = this.#running || !isEmpty;
    document.body.toggleAttribute("data-words", !isEmpty);
    for (const button of this.#downloads) button.disabled = isEmpty;
    this.#copy.disabled = isEmpty;
    const undo = isEmpty && this.#cleared.length > 0;
    this.#clear.disabled = isEmpty && !undo;
    this.#clear.textContent = undo ? "Undo clear" : "Clear";
  }

  async #copyText() {
    try {
      await navigator.clipboard.writeText(toText(this.#transcript.lines));
      this.#saved = true;
      this.#copy.textContent = "Copied";
    } catch {
      this.#copy.textContent = "Not allowed"; // by the browser's settings for this page
    }
    setTimeout(() => {
      this.#copy.textContent = "Copy";
    }, COPIED_MS);
  }

  #clearOrUndo() {
    if (this.isEmpty) {
      this.#transcript.restore(this.#cleared);
      this.#cleared = [];
    } else {
      this.#cleared = this.#transcript.lines;
      this.#transcript.clear();
    }
    this.#show();
  }
}
