/**
 * What is said in a room, by whom, in the order in which each began to speak.
 */

import { CaptionsView } from "../captions.js";
import { clockTime } from "../exports.js";
import { element, saveAs } from "../page.js";
import { Transcript } from "../transcript.js";

/** @typedef {import("../sdk/roster.js").RoomTranscript} RoomTranscript */
/** @typedef {import("../transcript.js").Line} Line */

const COPIED_MS = 2_000;

export class Words {
  #transcript = new Transcript();
  /** When each utterance was first heard of, in seconds; each participant's own times count from another moment. */
  #begun = /** @type {Map<string, number>} */ (new Map());
  /** By speaker's id, the name. @type {Map<string, string>} */
  #names = new Map();
  #view = new CaptionsView(
    {
      scroll: element("captions", HTMLDivElement),
      lines: element("lines", HTMLOListElement),
      partials: element("partials", HTMLOListElement),
      latest: element("latest", HTMLButtonElement),
    },
    (line) => this.#speakerOf(line),
  );
  #download = element("download", HTMLButtonElement);
  #copy = element("copy", HTMLButtonElement);
  #since = performance.now();
  #waiting = "";

  constructor() {
    this.#download.addEventListener("click", () => {
      const day = new Date().toISOString().slice(0, 10);
      saveAs(`room-${day}.txt`, "text/plain", this.#text());
    });
    this.#copy.hidden = !("clipboard" in navigator);
    this.#copy.addEventListener("click", () => void this.#copyText());
    this.#show();
  }

  get isEmpty() {
    return this.#transcript.isEmpty && this.#transcript.partials.size === 0;
  }

  /** Another room, another transcript. */
  begin() {
    this.#transcript.clear();
    this.#begun.clear();
    this.#since = performance.now();
    this.#show();
  }

  /** What is still being spoken will not be finished. */
  end() {
    this.#transcript.beginTake(0);
    this.expect("");
  }

  /** @param {string} waiting Shown until somebody speaks; "" for nothing. */
  expect(waiting) {
    this.#waiting = waiting;
    this.#show();
  }

  /** @param {RoomTranscript} said */
  apply(said) {
    const key = `${said.speaker}/${said.resultId}`;
    const now = (performance.now() - this.#since) / 1000;
    const start = this.#begun.get(key) ?? now;
    if (said.isPartial) this.#begun.set(key, start);
    else this.#begun.delete(key);
    if (said.speaker !== null && said.user !== "") this.#names.set(said.speaker, said.user);
    this.#transcript.apply({ ...said, resultId: key, start, end: Math.max(start, now), words: [] });
    this.#show();
  }

  #show() {
    this.#view.show(this.#transcript, this.#transcript.isEmpty ? this.#waiting : "");
    this.#download.disabled = this.#copy.disabled = this.#transcript.isEmpty;
  }

  /** @param {Line | null} line */
  #speakerOf(line) {
    const name = document.createElement("span");
    name.className = "speaker";
    if (line !== null) {
      name.textContent = this.#nameOf(line);
      name.title = `${this.#nameOf(line)}, ${clockTime(line.start)}`;
    }
    return name;
  }

  /** @param {Line} line */
  #nameOf(line) {
    return this.#names.get(line.speaker ?? "") ?? "Somebody";
  }

  #text() {
    return this.#transcript.lines
      .map((line) => `[${clockTime(line.start)}] ${this.#nameOf(line)}: ${line.text}\n`)
      .join("");
  }

  async #copyText() {
    try {
      await navigator.clipboard.writeText(this.#text());
      this.#copy.textContent = "Copied";
    } catch {
      this.#copy.textContent = "Not allowed"; // by the browser's settings for this page
    }
    setTimeout(() => {
      this.#copy.textContent = "Copy";
    }, COPIED_MS);
  }
}
