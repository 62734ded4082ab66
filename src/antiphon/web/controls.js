/**
 * What the user chooses: source, microphone, file, language and the server's key.
 */

import { element } from "./page.js";
import { AudioCapture } from "./sdk/audio-capture.js";
import { accessKey, askServer, keepAccessKey } from "./server.js";

/** @typedef {import("./messages.js").Problem} Problem */
/** @typedef {import("./sheet.js").Source} Source */

/** Identifiers that only stand for another device of the list (Media Capture and Streams, section 9.3). */
const ALIASES = new Set(["default", "communications"]);

export class Controls {
  #desk = element("desk", HTMLFormElement);
  #setup = element("setup", HTMLFieldSetElement);
  #device = element("device", HTMLSelectElement);
  #withMicrophone = element("with-microphone", HTMLInputElement);
  #language = element("language", HTMLSelectElement);
  #key = element("key", HTMLInputElement);
  #keyField = element("key-field", HTMLDivElement);
  #file = element("file", HTMLInputElement);
  #drop = element("drop", HTMLDivElement);
  #toggle = element("toggle", HTMLButtonElement);
  #label = element("source-label", HTMLParagraphElement);
  /** @type {Source} */
  #source = "microphone";
  #running = false;
  #tell;
  #forget;

  /** Bytes that the server takes in one file. */
  maxUploadBytes = Infinity;

  /**
   * @param {object} options
   * @param {() => void} options.toggled Start, or stop.
   * @param {(problem: Problem) => void} options.tell What stands in the way of what was chosen.
   * @param {(code?: string) => void} options.forget What was told, or one thing of it, does not matter any more.
   */
  constructor({ toggled, tell, forget }) {
    this.#tell = tell;
    this.#forget = forget;
    this.#desk.addEventListener("submit", (event) => {
      event.preventDefault();
      toggled();
    });
    for (const radio of document.querySelectorAll("input[name=source]")) {
      radio.addEventListener("change", () => this.#choose(/** @type {HTMLInputElement} */ (radio)));
    }
    this.#key.value = accessKey();
    this.#keyField.hidden = this.#key.value === "";
    this.#key.addEventListener("change", () => {
      keepAccessKey(this.#key.value);
      void this.greetServer();
    });
    this.#withMicrophone.addEventListener("change", () => this.#showFields());
    this.#takeDroppedFiles();
    if (AudioCapture.problem("microphone") === null) {
      navigator.mediaDevices.addEventListener("devicechange", () => void this.refreshDevices());
    }
    const chosen = document.querySelector("input[name=source]:checked"); // a reload may have kept it
    if (chosen instanceof HTMLInputElement) this.#choose(chosen);
  }

  get source() {
    return this.#source;
  }

  /** What is heard live; a tab may be heard with what is said before it. @returns {"microphone" | "tab" | "both"} */
  get liveSource() {
    if (this.#source === "tab" && this.#withMicrophone.checked) return "both";
    return this.#source === "tab" ? "tab" : "microphone";
  }

  get deviceId() {
    return this.#device.value;
  }

  get language() {
    return this.#language.value;
  }

  get key() {
    return this.#key.value;
  }

  get file() {
    return this.#file.files?.[0];
  }

  askForFile() {
    this.#file.focus();
  }

  askForKey() {
    this.#keyField.hidden = false;
  }

  /**
   * @param {boolean} running
   * @param {string} [action] What the button does now, where it is not to start.
   */
  show(running, action) {
    // before the fields are disabled, which would leave the keyboard nowhere
    if (running && this.#setup.contains(document.activeElement)) this.#toggle.focus();
    this.#running = running;
    this.#setup.disabled = running;
    document.body.toggleAttribute("data-running", running);
    this.#toggle.textContent = action ?? (this.#source === "file" ? "Transcribe" : "Start");
    this.#toggle.classList.toggle("stop", running);
    this.#label.hidden = !running;
  }

  /** @param {string} text What is heard. */
  label(text) {
    this.#label.textContent = text;
  }

  focus() {
    this.#toggle.focus();
  }

  async refreshDevices() {
    const chosen = this.#device.value;
    const microphones = await AudioCapture.microphones();
    const named = microphones.filter(({ label, id }) => label !== "" && !ALIASES.has(id));
    this.#device.replaceChildren(
      new Option("The system’s choice", ""),
      ...named.map(({ label, id }) => new Option(label, id, false, id === chosen)),
    );
  }

  /** Learn what the server speaks and takes. */
  async greetServer() {
    const info = await askServer(location.href, this.key);
    if ("error" in info) {
      this.#tell(info.error);
      return;
    }
    this.maxUploadBytes = info.maxUploadBytes;
    const names = new Intl.DisplayNames(["en"], { type: "language" });
    const chosen = this.#language.value;
    const languages = info.languages.length > 0 ? info.languages : [info.defaultLanguage || chosen];
    this.#language.replaceChildren(
      ...languages.map((tag) => new Option(names.of(tag) ?? tag, tag, tag === info.defaultLanguage, tag === chosen)),
    );
    for (const code of ["unauthorized", "unreachable"]) this.#forget(code);
  }

  /** @param {HTMLInputElement} radio */
  #choose(radio) {
    radio.checked = true;
    this.#source = /** @type {Source} */ (radio.value);
    this.#showFields();
    this.show(this.#running);
    this.#forget();
    const problem = this.#source === "file" ? null : AudioCapture.problem(this.#source);
    if (problem !== null) this.#tell({ code: problem.code });
  }

  #showFields() {
    const source = this.#source === "file" ? "file" : this.liveSource;
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-source]"))) {
      part.hidden = !part.dataset["source"]?.split(" ").includes(source);
    }
  }

  #takeDroppedFiles() {
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.#drop.classList.add("over");
    });
    document.addEventListener("dragleave", () => this.#drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#drop.classList.remove("over");
      const files = event.dataTransfer?.files;
      if (files === undefined || files.length === 0 || this.#running) return;
      const radio = document.querySelector("input[name=source][value=file]");
      if (radio instanceof HTMLInputElement) this.#choose(radio);
      this.#file.files = files;
    });
  }
}
