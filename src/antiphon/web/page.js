/**
 * The elements of the page, by name and type.
 */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

/**
 * @param {string} name
 * @param {string} type Media type.
 * @param {string} content
 */
export function saveAs(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it after the click has returned
}

/** The state of the connection, as the page's header shows it. */
export class StateLine {
  #text = element("state-text", HTMLSpanElement);
  #announcer = element("announcer", HTMLParagraphElement);

  /**
   * @param {string} phase For the style.
   * @param {string} text
   * @param {string} [announce] Read out when it differs from the last; running clocks are left out of it.
   */
  show(phase, text, announce = text) {
    document.body.dataset["phase"] = phase;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    if (this.#announcer.textContent !== announce) this.#announcer.textContent = announce;
  }
}

/** How far a file has been transcribed; it stands in the place of the meter. */
export class ProgressLine {
  #meter = element("meter", HTMLDivElement);
  #box = element("progress", HTMLDivElement);
  #bar = element("progress-bar", HTMLProgressElement);
  #text = element("progress-text", HTMLLabelElement);

  /**
   * @param {string} text
   * @param {number | null} share 0 to 1; null while it is not known.
   */
  show(text, share) {
    this.#meter.hidden = true;
    this.#box.hidden = false;
    this.#text.textContent = text;
    if (share === null) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
  }

  hide() {
    this.#box.hidden = true;
    this.#meter.hidden = false;
  }
}
