/**
 * The dialog "Check my connection".
 */

import { element } from "../page.js";
import { ConnectionCheck, verdict } from "../sdk/connection-check.js";

/** @typedef {import("../sdk/connection-check.js").Finding} Finding */

/** @type {Readonly<Record<import("../sdk/connection-check.js").Status, string>>} */
const RESULTS = { waiting: "", running: "checking…", ok: "open", warn: "look", blocked: "blocked", skipped: "not used" };

const COPIED_MS = 2_000;

export class Checker {
  #dialog = element("checker", HTMLDialogElement);
  #steps = element("steps", HTMLOListElement);
  #summary = element("checker-summary", HTMLParagraphElement);
  #run = element("checker-run", HTMLButtonElement);
  #copy = element("checker-copy", HTMLButtonElement);
  #key;
  /** @type {ConnectionCheck | null} */
  #check = null;
  /** @type {readonly Finding[]} */
  #findings = [];

  /** @param {() => string} key Access key; "" for none. */
  constructor(key) {
    this.#key = key;
    this.#run.addEventListener("click", () => void this.#start());
    this.#copy.hidden = !("clipboard" in navigator);
    this.#copy.addEventListener("click", () => void this.#copyReport());
    element("checker-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#check?.stop());
  }

  open() {
    this.#dialog.showModal();
    this.#run.focus();
    if (this.#findings.length === 0) void this.#start();
  }

  async #start() {
    this.#check?.stop();
    const check = new ConnectionCheck({
      server: location.href,
      key: this.#key(),
      tell: (findings) => this.#check === check && this.#show(findings),
    });
    this.#check = check;
    this.#run.disabled = true;
    this.#copy.disabled = true;
    this.#summary.className = "hint";
    this.#summary.textContent = "This takes up to half a minute.";
    const findings = await check.run();
    if (this.#check !== check) return;
    this.#check = null;
    this.#show(findings);
    this.#run.disabled = false;
    this.#run.textContent = "Check again";
    this.#copy.disabled = false;
    this.#summary.className = "hint verdict";
    this.#summary.textContent = verdict(findings);
  }

  /** @param {readonly Finding[]} findings */
  #show(findings) {
    this.#findings = findings;
    findings.forEach((finding, i) => {
      const item = this.#steps.children[i] ?? this.#steps.appendChild(newStep());
      fill(/** @type {HTMLElement} */ (item), finding);
    });
    while (this.#steps.children.length > findings.length) this.#steps.lastElementChild?.remove();
  }

  async #copyReport() {
    const lines = this.#findings.map(
      ({ title, status, detail, action }) =>
        `${title}: ${RESULTS[status] || status}${detail === "" ? "" : ` (${detail})`}${action === "" ? "" : ` - ${action}`}`,
    );
    const report = [`${location.origin}, ${new Date().toISOString()}`, navigator.userAgent, ...lines].join("\n");
    try {
      await navigator.clipboard.writeText(`${report}\n${this.#summary.textContent}\n`);
      this.#copy.textContent = "Copied";
    } catch {
      this.#copy.textContent = "Not allowed";
    }
    setTimeout(() => {
      this.#copy.textContent = "Copy report";
    }, COPIED_MS);
  }
}

function newStep() {
  const item = document.createElement("li");
  for (const name of ["mark", "title", "result", "more"]) {
    const part = document.createElement("span");
    part.className = name;
    if (name === "mark") part.ariaHidden = "true";
    item.append(part);
  }
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {Finding} finding
 */
function fill(item, { id, title, status, detail, action, result }) {
  item.dataset["status"] = status;
  item.dataset["check"] = id;
  const texts = ["", title, result ?? RESULTS[status], [detail, action].filter((part) => part !== "").join(" ")];
  texts.forEach((text, i) => {
    const part = item.children[i];
    if (part !== undefined && part.textContent !== text) part.textContent = text;
  });
}
