/**
 * Sound that a server sends back, on its way to whoever plays it.
 */

import { RtcError } from "./errors.js";

/** @typedef {import("./audio-format.js").AudioSink} AudioSink */
/** @typedef {import("./audio-format.js").AudioFormat & {codec: "opus" | "pcm_s16le"}} ReplyFormat */

export class ReplyAudio {
  #player;
  #fail;
  /** The player, unless it can't play that. @type {AudioSink | null} */
  #sink = null;
  /** Frames before the next one that will not come. */
  #missing = 0;

  /** What comes; null before the server has said it. @type {ReplyFormat | null} */
  format = null;

  /**
   * @param {AudioSink | null} player
   * @param {(error: RtcError) => void} fail The player can't play it.
   */
  constructor(player, fail) {
    this.#player = player;
    this.#fail = fail;
  }

  /**
   * @param {unknown} told What the server sends back, as `joined` has it.
   * @param {number} frameMs Where it does not say how long a frame is.
   */
  expect(told, frameMs) {
    const reply = /** @type {Record<string, unknown>} */ (typeof told === "object" && told !== null ? told : {});
    if (typeof reply["codec"] !== "string" || typeof reply["sampleRate"] !== "number") return;
    const before = this.format;
    const format = {
      codec: /** @type {ReplyFormat["codec"]} */ (reply["codec"]),
      sampleRate: reply["sampleRate"],
      channels: typeof reply["channels"] === "number" ? reply["channels"] : 1,
      frameMs: typeof reply["frameMs"] === "number" ? reply["frameMs"] : frameMs,
    };
    this.format = format;
    if (before === null || !sameFormat(before, format)) void this.#open(format);
  }

  /** @param {Uint8Array} frame */
  push(frame) {
    this.#sink?.push(frame, { missing: this.#missing });
    this.#missing = 0;
  }

  /** @param {number} packets So many before the next one will not come. */
  miss(packets) {
    this.#missing += packets;
  }

  clear() {
    this.#sink?.clear();
  }

  /** @param {ReplyFormat} format */
  async #open(format) {
    this.#sink = this.#player;
    try {
      await this.#player?.open(format);
    } catch (error) {
      if (this.format === format) this.#sink = null;
      this.#fail(RtcError.because("not_playable", error));
    }
  }
}

/** @param {ReplyFormat} one @param {ReplyFormat} other */
const sameFormat = (one, other) =>
  one.codec === other.codec &&
  one.sampleRate === other.sampleRate &&
  one.channels === other.channels &&
  one.frameMs === other.frameMs;
