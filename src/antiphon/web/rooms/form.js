/**
 * What the user chooses: name, room, the way of the sound, captions, microphone and the server's key.
 */

import { element } from "../page.js";
import { AudioCapture } from "../sdk/audio-capture.js";
import { accessKey, askServer, keepAccessKey } from "../server.js";

/** @typedef {"relay" | "mix" | "direct"} Way */

const NAME = "antiphon-name";

/** Identifiers that only stand for another device of the list (Media Capture and Streams, section 9.3). */
const ALIASES = new Set(["default", "communications"]);

/** @type {Readonly<Record<Way, {hint: string, privacy: string}>>} */
const WAYS = {
  relay: {
    hint: "Through the server, which passes on who speaks. For any number of people.",
    privacy: "What is said goes to the server that this page came from, and from there to the others of the room.",
  },
  mix: {
    hint: "Through the server, as one sound for each: the least traffic for a phone.",
    privacy: "What is said goes to the server that this page came from, and from there to the others of the room.",
  },
  direct: {
    hint: "From browser to browser, for two to four people. Nothing is written down.",
    privacy: "What is said goes to the others of the room, and not to the server.",
  },
};

export class RoomForm {
  #form = element("desk", HTMLFormElement);
  #setup = element("setup", HTMLFieldSetElement);
  #title = element("title", HTMLHeadingElement);
  #user = element("user", HTMLInputElement);
  #room = element("room", HTMLInputElement);
  #hint = element("way-hint", HTMLParagraphElement);
  #privacy = element("privacy", HTMLParagraphElement);
  #captions = element("captions-field", HTMLDivElement);
  #captionsOn = element("captions-on", HTMLInputElement);
  #language = element("language", HTMLSelectElement);
  #device = element("device", HTMLSelectElement);
  #key = element("key", HTMLInputElement);
  #keyField = element("key-field", HTMLDivElement);
  #toggle = element("toggle", HTMLButtonElement);
  #mute = element("mute", HTMLButtonElement);
  #tell;

  /**
   * @param {object} options
   * @param {() => void} options.toggled Join, or leave.
   * @param {() => void} options.muted Mute, or unmute.
   * @param {(deviceId: string) => void} options.chosen Another microphone.
   * @param {(problem: import("../messages.js").Problem | null) => void} options.tell What the server said when it was
   *   greeted; null for nothing bad.
   */
  constructor({ toggled, muted, chosen, tell }) {
    this.#tell = tell;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#user.value = this.#user.value.trim();
      if (this.#form.reportValidity()) toggled();
    });
    this.#mute.addEventListener("click", muted);
    this.#device.addEventListener("change", () => chosen(this.#device.value));
    this.#room.addEventListener("input", () => {
      this.#room.value = this.#room.value.replace(/\s+/g, "-");
    });
    for (const radio of document.querySelectorAll("input[name=way]")) {
      radio.addEventListener("change", () => this.#showWay());
    }
    this.#captionsOn.addEventListener("change", () => this.#showWay());
    this.#key.value = accessKey();
    this.#keyField.hidden = this.#key.value === "";
    this.#key.addEventListener("change", () => {
      keepAccessKey(this.#key.value);
      void this.greetServer();
    });
    this.#user.value ||= remembered();
    this.#room.value ||= new URLSearchParams(location.search).get("room") ?? "";
    const way = new URLSearchParams(location.search).get("way");
    const wanted = document.querySelector(`input[name=way][value="${CSS.escape(way ?? "")}"]`);
    if (wanted instanceof HTMLInputElement) wanted.checked = true;
    this.#showWay();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.refreshDevices());
  }

  get user() {
    return this.#user.value;
  }

  get room() {
    return this.#room.value;
  }

  /** @returns {Way} */
  get way() {
    const chosen = document.querySelector("input[name=way]:checked");
    return /** @type {Way} */ (chosen instanceof HTMLInputElement ? chosen.value : "relay");
  }

  /** Language of the captions; null for none. */
  get captions() {
    return this.way !== "direct" && this.#captionsOn.checked ? this.#language.value : null;
  }

  get deviceId() {
    return this.#device.value;
  }

  get key() {
    return this.#key.value;
  }

  askForKey() {
    this.#keyField.hidden = false;
  }

  /** @param {"out" | "entering" | "in"} where */
  show(where) {
    const running = where !== "out";
    if (running && this.#setup.contains(document.activeElement)) this.#toggle.focus();
    if (!running && document.activeElement === this.#mute) this.#toggle.focus();
    this.#setup.disabled = running;
    this.#setup.hidden = where === "in";
    this.#title.textContent = where === "in" ? this.room : "Rooms";
    document.title = where === "in" ? `${this.room} · Antiphon` : "Rooms · Antiphon";
    document.body.toggleAttribute("data-running", running);
    this.#toggle.textContent = { out: "Join", entering: "Cancel", in: "Leave" }[where];
    this.#toggle.classList.toggle("stop", running);
    this.#mute.hidden = where !== "in";
    if (running) remember(this.user);
  }

  /** @param {boolean} muted */
  showMuted(muted) {
    this.#mute.textContent = muted ? "Unmute" : "Mute";
    this.#mute.setAttribute("aria-pressed", String(muted));
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

  /** Learn what the server speaks. */
  async greetServer() {
    const info = await askServer(location.href, this.key);
    if ("error" in info) return this.#tell(info.error);
    const names = new Intl.DisplayNames(["en"], { type: "language" });
    const chosen = this.#language.value;
    const languages = info.languages.length > 0 ? info.languages : [info.defaultLanguage || chosen];
    this.#language.replaceChildren(
      ...languages.map((tag) => new Option(names.of(tag) ?? tag, tag, tag === info.defaultLanguage, tag === chosen)),
    );
    this.#tell(null);
  }

  #showWay() {
    const { hint, privacy } = WAYS[this.way];
    this.#hint.textContent = hint;
    this.#privacy.textContent = privacy;
    this.#captions.hidden = this.way === "direct";
    this.#language.disabled = !this.#captionsOn.checked;
  }
}

function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // storage may be switched off
  }
}

/** @param {string} user */
function remember(user) {
  try {
    localStorage.setItem(NAME, user);
  } catch {
    // Then it is typed again next time.
  }
}
