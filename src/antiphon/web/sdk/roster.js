/**
 * Who is in a room, who speaks, whom each m-line carries, and what was said: what a manager knows of it.
 */

import { readResult } from "./results.js";

/** Utterances whose newest event is remembered. */
const MOST_UTTERANCES = 256;

/**
 * @typedef {object} RoomMember
 * @property {string} id
 * @property {string} user The name.
 * @property {string} role
 * @property {string} transport `webrtc`, `websocket`, `whip` or `whep`.
 * @property {boolean} muted
 * @property {boolean} speaking
 * @property {boolean} self
 */

/**
 * @typedef {import("./results.js").Result & {eventId: number | null, user: string}} RoomTranscript `speaker` is the
 *   participant's id.
 */

/** @typedef {import("./signaling.js").Participant} Participant */

export class Roster {
  /** @type {Map<string, RoomMember>} */
  members = new Map();
  /** By m-line (`mid`), the participant it carries now. @type {Map<string, string>} */
  slots = new Map();
  /** By utterance, its newest event. @type {Map<string, number>} */
  #events = new Map();

  /**
   * @param {readonly Participant[]} participants
   * @param {string} self This participant's id.
   * @returns {{joined: RoomMember[], left: RoomMember[]}} What has changed since.
   */
  reset(participants, self) {
    const before = this.members;
    this.members = new Map();
    this.slots.clear();
    for (const participant of participants) this.#add(participant, participant.id === self);
    return {
      joined: [...this.members.values()].filter(({ id }) => !before.has(id)),
      left: [...before.values()].filter(({ id }) => !this.members.has(id)),
    };
  }

  /** @param {Participant} participant @returns {RoomMember | null} Null where it was there. */
  join(participant) {
    return this.members.has(participant.id) ? null : this.#add(participant, false);
  }

  /** @param {string} id @returns {RoomMember | null} Null where it was not there. */
  leave(id) {
    const member = this.members.get(id) ?? null;
    this.members.delete(id);
    for (const [mid, participant] of this.slots) if (participant === id) this.slots.delete(mid);
    return member;
  }

  /** @param {string} id @param {boolean} muted @returns {boolean} Whether that is news. */
  mute(id, muted) {
    const member = this.members.get(id);
    if (member === undefined || member.muted === muted) return false;
    member.muted = muted;
    return true;
  }

  /** @param {string} id @param {boolean} active @returns {boolean} Whether that is news. */
  speak(id, active) {
    const member = this.members.get(id);
    if (member === undefined || member.speaking === active) return false;
    member.speaking = active;
    return true;
  }

  /** @param {unknown} wire `[{mid, participantId}]`; a participant of null, or a `mid` left out, is a free m-line. */
  assign(wire) {
    if (!Array.isArray(wire)) return;
    this.slots.clear();
    for (const slot of wire) {
      const { mid, participantId } = slot ?? {};
      if (typeof participantId === "string") this.slots.set(String(mid), participantId);
    }
  }

  /** @param {string} id @returns {string[]} The m-lines that carry a participant. */
  midsOf(id) {
    return [...this.slots].filter(([, participant]) => participant === id).map(([mid]) => mid);
  }

  /**
   * A transcript, which comes by two ways and in no certain order between them.
   *
   * @param {Record<string, unknown>} wire Camel or snake case.
   * @returns {RoomTranscript | null} Null for what is none, came before, or is older than what came.
   */
  hear(wire) {
    const result = readResult(wire);
    if (result === null) return null;
    const number = wire["eventId"] ?? wire["event_id"];
    const eventId = typeof number === "number" ? number : null;
    if (eventId !== null) {
      const key = `${result.speaker}/${result.resultId}`;
      const last = this.#events.get(key);
      if (last !== undefined && eventId <= last) return null;
      this.#events.delete(key); // so that it is the youngest again
      this.#events.set(key, eventId);
      const [oldest] = this.#events.keys();
      if (this.#events.size > MOST_UTTERANCES && oldest !== undefined) this.#events.delete(oldest);
    }
    const named = this.members.get(result.speaker ?? "")?.user;
    const user = named ?? wire["userId"] ?? wire["user_id"];
    return { ...result, eventId, user: typeof user === "string" ? user : "" };
  }

  /**
   * @param {Participant} participant
   * @param {boolean} self
   */
  #add({ id, user, role, transport, muted }, self) {
    const member = { id, user, role, transport, muted, speaking: false, self };
    this.members.set(id, member);
    return member;
  }
}
