/**
 * Messages above the captions. One that is told again takes the place of the first.
 */

/** @typedef {import("./messages.js").Advice & {detail?: string}} Notice */

const MOST = 4;

export class Notices {
  #root;
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
  }

  /**
   * @param {string} key
   * @param {"alert" | "status"} role An alert is read out at once, a status when there is time.
   * @param {Notice} notice
   */
  show(key, role, { title, action, detail = "" }) {
    this.drop(key);
    const box = document.createElement("div");
    box.className = `notice ${role}`;
    box.setAttribute("role", role);
    box.dataset["key"] = key;

    const text = document.createElement("div");
    text.append(paragraph("title", title));
    if (detail !== "") text.append(paragraph("detail", detail));
    if (action !== "") text.append(paragraph("todo", action));

    const close = document.createElement("button");
    close.type = "button";
    close.className = "close";
    close.setAttribute("aria-label", `Dismiss: ${title}`);
    close.textContent = "×";
    close.addEventListener("click", () => this.drop(key));

    box.append(text, close);
    this.#root.append(box);
    this.#shown.set(key, box);
    // once the page has come to rest: what goes wrong often changes its layout too
    if (role === "alert") requestAnimationFrame(() => box.scrollIntoView({ block: "nearest" }));
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > MOST && oldest !== undefined) this.drop(oldest);
  }

  /** @param {string} key */
  drop(key) {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }

  clear() {
    for (const key of [...this.#shown.keys()]) this.drop(key);
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
function paragraph(name, text) {
  const element = document.createElement("p");
  element.className = name;
  element.textContent = text;
  return element;
}
