/**
 * What the user chooses: a file, a room or a text, and how it is to come.
 */

import { element } from "../page.js";
import { RtcError } from "../sdk/errors.js";
import { accessKey, keepAccessKey } from "../server.js";
import { listFiles, listRooms, listVoices } from "./offers.js";

/** @typedef {import("../sdk/stream-player.js").ListenOptions} ListenOptions */
/** @typedef {import("./advice.js").Kind} Kind */

const NO_FILES = "The server offers no files. Whoever runs it can name a folder of them: antiphon serve --media-folder.";

export class ListenForm {
  #form = element("desk", HTMLFormElement);
  #setup = element("setup", HTMLFieldSetElement);
  #file = element("file", HTMLSelectElement);
  #fileHint = element("file-hint", HTMLParagraphElement);
  #room = element("room", HTMLInputElement);
  #rooms = element("rooms", HTMLDataListElement);
  #text = element("text", HTMLTextAreaElement);
  #voice = element("voice", HTMLSelectElement);
  #voiceHint = element("voice-hint", HTMLParagraphElement);
  #rate = element("rate", HTMLSelectElement);
  #bitrate = element("bitrate", HTMLSelectElement);
  #frame = element("frame", HTMLSelectElement);
  #key = element("key", HTMLInputElement);
  #keyField = element("key-field", HTMLDivElement);
  #toggle = element("toggle", HTMLButtonElement);
  #pause = element("pause", HTMLButtonElement);
  #tell;

  /**
   * @param {object} options
   * @param {() => void} options.toggled Play, or stop.
   * @param {() => void} options.paused Pause, or go on.
   * @param {(bitrate: number) => void} options.bitrate Another one was chosen.
   * @param {(volume: number) => void} options.volume 0 to 1.
   * @param {(error: RtcError | null) => void} options.tell What the server said when it was asked what it has; null for
   *   nothing bad.
   */
  constructor({ toggled, paused, bitrate, volume, tell }) {
    this.#tell = tell;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#toggle.classList.contains("stop") || this.#isComplete()) toggled();
    });
    this.#pause.addEventListener("click", paused);
    this.#bitrate.addEventListener("change", () => bitrate(Number(this.#bitrate.value)));
    const loud = element("volume", HTMLInputElement);
    loud.addEventListener("input", () => volume(loud.valueAsNumber / 100));
    for (const radio of document.querySelectorAll("input[name=kind]")) {
      radio.addEventListener("change", () => this.#showKind());
    }
    for (const field of [this.#file, this.#room, this.#text]) {
      field.addEventListener("input", () => field.setCustomValidity(""));
    }
    this.#key.value = accessKey();
    this.#keyField.hidden = this.#key.value === "";
    this.#key.addEventListener("change", () => {
      keepAccessKey(this.#key.value);
      void this.refresh();
    });
    this.#preset(new URLSearchParams(location.search));
    this.#showKind();
  }

  /** @returns {Kind} */
  get kind() {
    const chosen = document.querySelector("input[name=kind]:checked");
    return /** @type {Kind} */ (chosen instanceof HTMLInputElement ? chosen.value : "file");
  }

  get key() {
    return this.#key.value;
  }

  get text() {
    return this.#text.value.trim();
  }

  /** How a text is to be said. */
  get manner() {
    return { voice: this.#voice.value, rate: Number(this.#rate.value) };
  }

  /** What it is called. */
  get title() {
    return { file: this.#file.value, room: this.#room.value, say: this.text }[this.kind];
  }

  /** What to ask the server for. @returns {ListenOptions} */
  get wanted() {
    const how = {
      bitrate: Number(this.#bitrate.value),
      frameMs: /** @type {10 | 20 | 40 | 60} */ (Number(this.#frame.value)),
    };
    if (this.kind === "say") return { source: `say:${this.text}`, ...how, ...this.manner };
    return { source: `${this.kind}:${this.title}`, ...how };
  }

  askForKey() {
    this.#keyField.hidden = false;
  }

  /** @param {boolean} running */
  show(running) {
    document.body.toggleAttribute("data-running", running);
    if (running && this.#setup.contains(document.activeElement) && document.activeElement !== this.#bitrate) {
      this.#toggle.focus();
    }
    if (!running && document.activeElement === this.#pause) this.#toggle.focus();
    for (const field of this.#setup.querySelectorAll("input, select, textarea")) {
      // the bitrate can be changed while it plays
      if (field !== this.#bitrate) field.toggleAttribute("disabled", running);
    }
    this.#toggle.textContent = running ? "Stop" : "Play";
    this.#toggle.classList.toggle("stop", running);
    this.#pause.hidden = !running;
    this.showPaused(false);
  }

  /** @param {boolean} paused */
  showPaused(paused) {
    this.#pause.textContent = paused ? "Go on" : "Pause";
    this.#pause.setAttribute("aria-pressed", String(paused));
  }

  /** Which bitrate the server took. @param {number} bitrate */
  showBitrate(bitrate) {
    const value = String(bitrate);
    if (![...this.#bitrate.options].some((option) => option.value === value)) {
      this.#bitrate.add(new Option(`${bitrate / 1_000} kbit/s`, value));
    }
    this.#bitrate.value = value;
  }

  /** Ask the server what it has. */
  async refresh() {
    const asked = [this.#refreshFiles(), this.#refreshRooms(), this.#refreshVoices()];
    const failed = (await Promise.allSettled(asked)).find(({ status }) => status === "rejected");
    this.#tell(failed?.status === "rejected" ? RtcError.because("unreachable", failed.reason) : null);
  }

  async #refreshFiles() {
    const files = await listFiles(this.key);
    const chosen = this.#file.value || this.#wantedFile;
    this.#file.replaceChildren(
      ...files.map(({ name, bytes }) => new Option(`${name} (${size(bytes)})`, name, false, name === chosen)),
    );
    this.#fileHint.hidden = files.length > 0;
    this.#fileHint.textContent = NO_FILES;
  }

  async #refreshRooms() {
    const rooms = await listRooms(this.key);
    this.#rooms.replaceChildren(...rooms.map((room) => new Option(room, room)));
  }

  async #refreshVoices() {
    try {
      const { voices, defaultVoice } = await listVoices(this.key);
      const names = new Intl.DisplayNames(["en"], { type: "language" });
      const chosen = this.#voice.value || defaultVoice;
      this.#voice.replaceChildren(
        ...voices.map(({ id, name, language }) => {
          const spoken = language === "" ? "" : languageName(names, language);
          const label = spoken === "" || spoken === name ? name : `${name} · ${spoken}`;
          return new Option(label, id, id === defaultVoice, id === chosen);
        }),
      );
      this.#voiceHint.textContent = "";
    } catch (error) {
      // no voice is no reason not to hear a file
      if (!(error instanceof RtcError) || error.code !== "engine_unavailable") throw error;
      this.#voice.replaceChildren();
      this.#voiceHint.textContent = `This server has no voice: ${error.message}`;
    }
  }

  #wantedFile = "";

  /** A link may say what to hear. @param {URLSearchParams} query */
  #preset(query) {
    for (const kind of /** @type {Kind[]} */ (["file", "room", "say"])) {
      const value = query.get(kind);
      const radio = document.querySelector(`input[name=kind][value=${kind}]`);
      if (value === null || !(radio instanceof HTMLInputElement)) continue;
      radio.checked = true;
      if (kind === "file") this.#wantedFile = value;
      else (kind === "room" ? this.#room : this.#text).value = value;
    }
  }

  #isComplete() {
    this.#room.value = this.#room.value.trim();
    const missing = {
      file: () => (this.#file.value === "" ? [this.#file, "There is no file to choose"] : null),
      room: () => (this.#room.value === "" ? [this.#room, "Type the name of a room"] : null),
      say: () => (this.text === "" ? [this.#text, "Type what is to be said"] : null),
    }[this.kind]();
    for (const field of [this.#file, this.#room, this.#text]) field.setCustomValidity("");
    if (missing !== null) {
      const [field, said] = /** @type {[HTMLSelectElement | HTMLInputElement | HTMLTextAreaElement, string]} */ (missing);
      field.setCustomValidity(said);
    }
    return this.#form.reportValidity();
  }

  #showKind() {
    for (const part of document.querySelectorAll("[data-kind]")) {
      if (part instanceof HTMLElement) part.hidden = part.dataset["kind"] !== this.kind;
    }
    // what is not shown cannot be complained of
    this.#room.disabled = this.kind !== "room";
    this.#file.disabled = this.kind !== "file";
    this.#text.disabled = this.kind !== "say";
    if (this.kind === "room") void this.#refreshRooms().catch(() => undefined);
  }
}

/**
 * @param {Intl.DisplayNames} names
 * @param {string} tag
 */
function languageName(names, tag) {
  try {
    return names.of(tag) ?? tag;
  } catch {
    return tag; // a tag of the synthesiser's own
  }
}

/** @param {number} bytes */
function size(bytes) {
  if (!(bytes >= 1e3)) return `${bytes} bytes`;
  const [unit, divisor] = bytes < 1e6 ? ["kB", 1e3] : ["MB", 1e6];
  return `${(bytes / /** @type {number} */ (divisor)).toFixed(bytes < 1e4 ? 1 : 0)} ${unit}`;
}
