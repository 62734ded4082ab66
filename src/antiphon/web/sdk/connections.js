/**
 * All connections of a manager: to the media server, or to each of the others.
 */

import { SpeakingDetector, receiverLevel } from "./levels.js";
import { Peer } from "./peer.js";
import { QualityMeter } from "./quality.js";

/** The id of the media server. */
export const SERVER = "server";

/** @typedef {{peer: Peer, meter: QualityMeter, detector: SpeakingDetector}} Connection */

export class Connections {
  /** @type {Map<string, Connection>} */
  #all = new Map();

  /** @param {string} id */
  get(id) {
    return this.#all.get(id)?.peer;
  }

  /**
   * One more, in the place of the one there was.
   *
   * @param {import("./peer.js").PeerOptions} options
   */
  add(options) {
    const { id, tell } = options;
    const peer = new Peer({
      ...options,
      tell: (event) => {
        if (this.get(id) === peer) tell(event);
      },
    });
    this.drop(id);
    this.#all.set(id, { peer, meter: new QualityMeter(), detector: new SpeakingDetector() });
    return peer;
  }

  /** @param {string} id */
  drop(id) {
    this.#all.get(id)?.peer.close();
    this.#all.delete(id);
  }

  dropAll() {
    for (const id of [...this.#all.keys()]) this.drop(id);
  }

  /** @template T @param {(peer: Peer) => T} action @returns {T[]} */
  each(action) {
    return [...this.#all.values()].map(({ peer }) => action(peer));
  }

  /** @returns {Promise<Map<string, import("./quality.js").Quality>>} What each is like since the last call. */
  async stats() {
    /** @type {Map<string, import("./quality.js").Quality>} */
    const qualities = new Map();
    for (const [id, { peer, meter }] of [...this.#all]) {
      const report = await peer.getStats();
      if (report !== null) qualities.set(id, meter.look(/** @type {any} */ (report)));
    }
    return qualities;
  }

  /**
   * @param {ReadonlyMap<string, string>} slots Of the media server, by `mid`, the participant.
   * @returns {Map<string, number>} By participant, 0 to 1.
   */
  levels(slots) {
    /** @type {Map<string, number>} */
    const levels = new Map();
    for (const [id, { peer }] of this.#all) {
      for (const { mid, receiver } of peer.transceivers) {
        const participant = id === SERVER ? slots.get(mid ?? "") : id;
        if (participant === undefined) continue;
        levels.set(participant, Math.max(levels.get(participant) ?? 0, receiverLevel(receiver)));
      }
    }
    return levels;
  }

  /**
   * Who speaks, told by levels alone.
   *
   * @param {number} now Milliseconds.
   * @returns {[string, boolean][]}
   */
  speaking(now) {
    return [...this.levels(new Map())].map(([id, level]) => {
      const detector = this.#all.get(id)?.detector;
      return [id, detector?.look(level, now) ?? false];
    });
  }
}
