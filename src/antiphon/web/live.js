/**
 * A source of sound joined to the server: what is captured goes into the stream, until either ends.
 */

import { AudioCapture } from "./sdk/audio-capture.js";
import { AudioStreamManager } from "./sdk/audio-stream-manager.js";
import { RtcError } from "./sdk/errors.js";

const FRAMES_PER_SECOND = 50;
const SILENT_LEVEL = 1 / 0x8000;
const SILENT_FRAMES = 5 * FRAMES_PER_SECOND;

/** @typedef {import("./sdk/stream-events.js").StreamEvents} StreamEvents */
/** @typedef {"microphone" | "tab" | "both"} LiveSource */
/** @typedef {"state" | "take" | "transcript" | "speaking" | "lost" | "error"} Forwarded */

/**
 * What a session tells, beside the events of its stream: `captured` once the source is open, `level` for each 20 ms,
 * `problem` when a source fails or ceases, `hint` when something looks wrong or right again.
 *
 * @typedef {{[T in Forwarded]: StreamEvents[T] & {type: T}}[Forwarded]
 *   | {type: "captured", label: string}
 *   | {type: "level", level: number}
 *   | {type: "problem", code: string}
 *   | {type: "hint", code: "muted" | "silence", active: boolean}} LiveEvent
 */

/** @type {readonly Forwarded[]} */
const FORWARDED = ["state", "take", "transcript", "speaking", "lost", "error"];

export class LiveSession {
  #tell;
  #source;
  #capture;
  #stream;
  #captured = false;
  #stopped = false;
  #quietFrames = 0;
  #silent = false;

  /**
   * @param {object} options
   * @param {LiveSource} options.source
   * @param {string} options.deviceId "" for the system's choice.
   * @param {string} options.language
   * @param {string} options.key Access key; "" for none.
   * @param {(event: LiveEvent) => void} options.tell
   */
  constructor({ source, deviceId, language, key, tell }) {
    this.#tell = tell;
    this.#source = source;
    this.#capture = new AudioCapture({ source, deviceId, codec: "pcm_s16le" });
    this.#stream = new AudioStreamManager({ language, key });
    for (const type of FORWARDED) {
      this.#stream.on(type, (detail) => this.#onStream(/** @type {LiveEvent} */ ({ ...detail, type })));
    }
    this.#capture.on("frame", ({ data }) => this.#stream.sendAudioData(data));
    this.#capture.on("level", ({ level }) => this.#onLevel(level));
    this.#capture.on("ended", ({ error, left }) => {
      this.#tell({ type: "problem", code: left > 0 ? `${error.code}_other` : error.code });
      if (left === 0) void this.stop();
    });
    this.#capture.on("error", ({ error }) => {
      this.#tell({ type: "problem", code: error.code });
      void this.stop();
    });
    this.#capture.on("held", ({ active }) => this.#tell({ type: "hint", code: "muted", active }));
  }

  /** Seconds captured. */
  get seconds() {
    return this.#stream.seconds;
  }

  /** Ask for the source, then join the server. Returns whether it came so far. */
  async start() {
    try {
      await this.#capture.start();
    } catch (error) {
      const code = error instanceof RtcError ? error.code : "capture_failed";
      if (!this.#stopped) this.#tell({ type: "problem", code });
      return false;
    }
    this.#captured = true;
    const names = this.#capture.sources.map(({ label }) => label).filter((label) => label !== "");
    this.#tell({ type: "captured", label: names.join(" and ") });
    void this.#stream.connect();
    return true;
  }

  /** Let go of the source and have the last words; a second call does not wait for them. */
  async stop() {
    const again = this.#stopped;
    this.#stopped = true;
    await this.#capture.stop();
    if (again || this.#captured) this.#stream.leave();
  }

  retryNow() {
    this.#stream.retryNow();
  }

  /** @param {number} level */
  #onLevel(level) {
    this.#tell({ type: "level", level });
    this.#quietFrames = level > SILENT_LEVEL ? 0 : this.#quietFrames + 1;
    const silent = this.#quietFrames >= SILENT_FRAMES;
    if (silent !== this.#silent && this.#source === "microphone") {
      this.#silent = silent;
      this.#tell({ type: "hint", code: "silence", active: silent });
    }
  }

  /** @param {LiveEvent} event */
  #onStream(event) {
    if (event.type === "state" && event.state.phase === "ended") {
      this.#stopped = true;
      void this.#capture.stop();
    }
    this.#tell(event);
  }
}
