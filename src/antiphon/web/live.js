/**
 * A source of sound joined to the server: what is captured goes into the stream, until either ends.
 */

import { Capture, CaptureError } from "./capture.js";
import { CaptionStream, FRAMES_PER_SECOND } from "./stream.js";

const SILENT_LEVEL = 1 / 0x8000;
const SILENT_FRAMES = 5 * FRAMES_PER_SECOND;

/** @typedef {import("./capture.js").CaptureProblem} CaptureProblem */

/**
 * What a session tells, beside the events of its stream: `captured` once the source is open, `level` for each 20 ms,
 * `problem` when the source fails or ceases, `hint` when something looks wrong or right again.
 *
 * @typedef {import("./stream.js").StreamEvent
 *   | {type: "captured", label: string}
 *   | {type: "level", level: number}
 *   | {type: "problem", code: CaptureProblem}
 *   | {type: "hint", code: "muted" | "silence", active: boolean}} LiveEvent
 */

export class LiveSession {
  #tell;
  #options;
  #stream;
  /** @type {Capture | null} */
  #capture = null;
  #stopped = false;
  #quietFrames = 0;
  #silent = false;

  /** Frames captured. */
  frames = 0;

  /**
   * @param {object} options
   * @param {import("./capture.js").LiveSource} options.source
   * @param {string} options.deviceId "" for the system's choice.
   * @param {string} options.language
   * @param {string} options.key Access key; "" for none.
   * @param {string} options.url Of the server's `/audio-stream`.
   * @param {(event: LiveEvent) => void} options.tell
   */
  constructor({ source, deviceId, language, key, url, tell }) {
    this.#tell = tell;
    this.#options = { source, deviceId };
    this.#stream = new CaptionStream({ url, language, key, tell: (event) => this.#onStream(event) });
  }

  /** Seconds captured. */
  get seconds() {
    return this.frames / FRAMES_PER_SECOND;
  }

  /** Ask for the source, then join the server. Returns whether it came so far. */
  async start() {
    try {
      const capture = await Capture.open({
        ...this.#options,
        onFrame: (samples, level) => this.#onFrame(samples, level),
        onEnd: (code) => {
          if (this.#stopped) return;
          this.#tell({ type: "problem", code });
          void this.stop();
        },
        onMuted: (active) => this.#tell({ type: "hint", code: "muted", active }),
      });
      if (this.#stopped) {
        await capture.stop();
        return false;
      }
      this.#capture = capture;
    } catch (error) {
      if (!this.#stopped) {
        this.#tell({ type: "problem", code: error instanceof CaptureError ? error.code : "capture_failed" });
      }
      return false;
    }
    this.#tell({ type: "captured", label: this.#capture.label });
    this.#stream.start();
    return true;
  }

  /** Let go of the source and have the last words; a second call does not wait for them. */
  async stop() {
    const again = this.#stopped;
    this.#stopped = true;
    const capture = this.#capture;
    this.#capture = null;
    await capture?.stop();
    if (again || capture !== null) this.#stream.leave();
  }

  retryNow() {
    this.#stream.retryNow();
  }

  /**
   * @param {Int16Array} samples
   * @param {number} level
   */
  #onFrame(samples, level) {
    this.frames++;
    this.#stream.push(samples);
    this.#tell({ type: "level", level });
    this.#quietFrames = level > SILENT_LEVEL ? 0 : this.#quietFrames + 1;
    const silent = this.#quietFrames >= SILENT_FRAMES;
    if (silent !== this.#silent && this.#options.source === "microphone") {
      this.#silent = silent;
      this.#tell({ type: "hint", code: "silence", active: silent });
    }
  }

  /** @param {import("./stream.js").StreamEvent} event */
  #onStream(event) {
    if (event.type === "state" && event.state.phase === "ended") {
      this.#stopped = true;
      void this.#capture?.stop();
      this.#capture = null;
    }
    this.#tell(event);
  }
}
