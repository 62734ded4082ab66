/**
 * Who is there: a square note for each, which swells with the voice.
 */

/** @typedef {import("../sdk/roster.js").RoomMember} RoomMember */

const QUIETEST_DB = -50;
const LOUDEST_DB = -12;

/** @param {number} level 0 to 1. @returns {number} How loud it seems, 0 to 1. */
export function loudness(level) {
  if (level <= 0) return 0;
  const db = 20 * Math.log10(level);
  return Math.max(0, Math.min(1, (db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)));
}

/** @type {Readonly<Record<string, string>>} */
const TRANSPORTS = { websocket: "by WebSocket", whip: "by WHIP", whep: "listens by WHEP" };

/** @type {Readonly<Record<string, string>>} */
const LINKS = {
  new: "connecting…",
  connecting: "connecting…",
  interrupted: "interrupted…",
  waiting: "reconnecting…",
  failed: "no connection",
};

export class Voices {
  #list;
  /** @type {Map<string, {item: HTMLLIElement, face: HTMLSpanElement, name: HTMLSpanElement, doing: HTMLSpanElement}>} */
  #shown = new Map();

  /** @param {HTMLUListElement} list */
  constructor(list) {
    this.#list = list;
    this.show([]);
  }

  /**
   * @param {readonly RoomMember[]} members
   * @param {(id: string) => string | null} [link] State of the connection to a participant; null where there is none apart.
   */
  show(members, link = () => null) {
    const there = new Set(members.map(({ id }) => id));
    for (const [id, { item }] of this.#shown) {
      if (there.has(id)) continue;
      item.remove();
      this.#shown.delete(id);
    }
    this.#list.querySelector(".nobody")?.remove();
    for (const member of [...members].sort((a, b) => Number(b.self) - Number(a.self))) {
      const { item, face, name, doing } = this.#voice(member.id);
      const text = member.user === "" ? "Nameless" : member.user;
      if (name.textContent !== text) {
        name.textContent = text;
        face.textContent = [...text][0]?.toLocaleUpperCase() ?? "";
      }
      const active = member.speaking && !member.muted;
      item.toggleAttribute("data-speaking", active);
      item.toggleAttribute("data-muted", member.muted);
      const state = doingOf(member, active, link(member.id));
      if (doing.textContent !== state) doing.textContent = state;
    }
    if (members.length < 2) this.#list.append(nobody(members.length === 0 ? "Nobody yet" : "Waiting for others"));
  }

  /** @param {string} id @param {number} level 0 to 1. */
  level(id, level) {
    const face = this.#shown.get(id)?.face;
    face?.style.setProperty("--level", loudness(level).toFixed(2));
  }

  /** @param {string} id */
  #voice(id) {
    const known = this.#shown.get(id);
    if (known !== undefined) return known;
    const item = document.createElement("li");
    item.className = "voice";
    item.dataset["id"] = id;
    const [face, who, name, doing] = [span("face"), span("who"), span("name"), span("doing")];
    face.ariaHidden = "true";
    who.append(name, doing);
    item.append(face, who);
    this.#list.append(item);
    const voice = { item, face, name, doing };
    this.#shown.set(id, voice);
    return voice;
  }
}

/**
 * @param {RoomMember} member
 * @param {boolean} active
 * @param {string | null} link
 */
function doingOf(member, active, link) {
  const parts = member.self ? ["you"] : [];
  const broken = LINKS[link ?? ""];
  if (broken !== undefined) parts.push(broken);
  else if (member.muted) parts.push("muted");
  else if (active) parts.push("speaking");
  else if (TRANSPORTS[member.transport] !== undefined) parts.push(/** @type {string} */ (TRANSPORTS[member.transport]));
  return parts.join(" · ");
}

/** @param {string} text */
function nobody(text) {
  const item = document.createElement("li");
  item.className = "nobody";
  item.textContent = text;
  return item;
}

/** @param {string} name */
function span(name) {
  const made = document.createElement("span");
  made.className = name;
  return made;
}
