/**
 * Keeps a bitrate that the network can carry: measures once a second, decides, and has encoders follow, here and at the
 * server.
 *
 *     const adaptive = new AdaptiveBitrateController({ connection: stream, encoders: [capture] });
 *     adaptive.on("change", ({ bitrate, condition }) => show(bitrate, condition));
 *     adaptive.start();
 */

import { BITRATES, BitrateController } from "./bitrate-controller.js";
import { Emitter } from "./events.js";
import { Deadlines, systemTimers } from "./timing.js";

const EVERY_MS = 1000;

/**
 * @typedef {object} Measured What the network was like since the last look.
 * @property {number | null} roundTrip Milliseconds; null where it is not known yet.
 * @property {number} loss Share of the packets, 0 to 1.
 * @property {number | null} sent Bits a second; null where it is not known.
 */

/**
 * @typedef {object} BitrateEvents
 * @property {{bitrate: number, condition: import("./bitrate-controller.js").NetworkCondition, expectedLoss: number}} change
 * @property {import("./bitrate-controller.js").BitrateDecision & Measured} look Once a second.
 */

/** @typedef {import("./audio-stream-manager.js").AudioStreamManager} AudioStreamManager */
/** @typedef {import("./webrtc-manager.js").WebRTCManager} WebRTCManager */

/** @extends {Emitter<BitrateEvents>} */
export class AdaptiveBitrateController extends Emitter {
  #connection;
  #encoders;
  #machine;
  #minimum;
  #timers;
  #deadlines;
  /** What the server asked for at most. */
  #ceiling = Infinity;
  #applied;
  #running = false;
  /** @type {() => void} */
  #deafen = () => undefined;

  /**
   * @param {object} options
   * @param {AudioStreamManager | WebRTCManager} options.connection Whose way is measured; the server's encoder follows by it.
   * @param {readonly {setBitrate: (bitrate: number) => unknown}[]} [options.encoders] That follow too, such as an
   *   `AudioCapture`. What a `WebRTCManager` sends follows by itself.
   * @param {Partial<import("./bitrate-controller.js").BitrateOptions>} [options.bitrates] Bounds and steps.
   * @param {import("./timing.js").Timers} [options.timers]
   */
  constructor({ connection, encoders = [], bitrates = {}, timers = systemTimers }) {
    super();
    this.#connection = connection;
    this.#encoders = encoders;
    this.#machine = new BitrateController(bitrates);
    this.#minimum = bitrates.minimum ?? BITRATES.minimum;
    this.#applied = this.#machine.bitrate;
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
  }

  /** Bits a second: what was decided, or the server's wish where that is less. */
  get bitrate() {
    return Math.max(this.#minimum, Math.min(this.#machine.bitrate, this.#ceiling));
  }

  /** How the network does; null before anything was measured. */
  get condition() {
    return this.#machine.condition;
  }

  /** Begin to measure; encoders get the bitrate at once. */
  start() {
    if (this.#running) return;
    this.#running = true;
    const limit = (/** @type {{bitrate: number}} */ { bitrate }) => {
      this.#ceiling = bitrate;
      this.#apply();
    };
    const connection = this.#connection;
    // the two have that event in common, but not the type of `on`
    this.#deafen = "conditions" in connection ? connection.on("bitrate-change", limit) : connection.on("bitrate-change", limit);
    this.#follow(this.bitrate);
    this.#later();
  }

  stop() {
    this.#running = false;
    this.#deadlines.cancelAll();
    this.#deafen();
  }

  /** Look and decide now. It is called once a second between `start` and `stop`. */
  async look() {
    const measured = await measure(this.#connection, this);
    if (measured.roundTrip === null) return;
    const { roundTrip, loss, sent } = measured;
    const decision = this.#machine.update(this.#timers.now() / 1000, { roundTrip: roundTrip / 1000, loss, sent });
    this.emit("look", { ...decision, ...measured });
    this.#apply();
  }

  #apply() {
    const { bitrate } = this;
    if (bitrate === this.#applied) return;
    this.#follow(bitrate);
    this.emit("change", {
      bitrate,
      condition: this.#machine.condition ?? "good",
      expectedLoss: this.#machine.expectedLoss,
    });
  }

  /** @param {number} bitrate */
  #follow(bitrate) {
    this.#applied = bitrate;
    for (const encoder of [...this.#encoders, this.#connection]) {
      // one that is closed meanwhile has nothing to follow with
      void Promise.resolve(encoder.setBitrate(bitrate)).catch(() => undefined);
    }
  }

  #later() {
    this.#deadlines.set("look", EVERY_MS, () => {
      void this.look().catch(() => undefined); // a connection that is closed meanwhile has no statistics
      if (this.#running) this.#later();
    });
  }
}

/**
 * @param {AudioStreamManager | WebRTCManager} connection
 * @param {object} looker
 * @returns {Promise<Measured>}
 */
async function measure(connection, looker) {
  if ("conditions" in connection) {
    const { roundTrip, loss, sent, jitter } = connection.conditions(looker);
    connection.sendStats({ roundTrip, jitter, loss, sent: Math.round(sent) });
    connection.ping();
    return { roundTrip, loss, sent };
  }
  const all = [...(await connection.getStats()).values()];
  const roundTrips = all.map((quality) => quality.roundTrip).filter((value) => value !== null);
  const rates = all.map((quality) => quality.bitrateOut).filter((value) => value !== null);
  return {
    roundTrip: roundTrips.length === 0 ? null : Math.max(...roundTrips),
    loss: Math.max(0, ...all.map((quality) => Math.max(quality.lossIn ?? 0, quality.lossOut ?? 0))),
    sent: rates.length === 0 ? null : Math.max(...rates),
  };
}
