/**
 * A stream of Opus packets into whole files that follow each other without a gap and without an overlap.
 *
 * A decoder begins each file anew, and needs the packets before it to come to the same result: they are put before the
 * segment's own, and the file says how much of what it decodes is to be dropped. An encoder looks ahead, so that the end of
 * a segment is in the packet after it, which is put behind.
 */

import { OPUS_PRE_ROLL_MS } from "./audio-format.js";
import { webmFile } from "./webm-writer.js";

const CLOCK = 48_000;

/**
 * @typedef {object} SegmentFile
 * @property {Uint8Array<ArrayBuffer>} file WebM.
 * @property {number} index From 0.
 * @property {number} start Seconds into the stream.
 * @property {number} duration Seconds.
 */

export class SegmentCutter {
  #options;
  #emit;
  #preRoll;
  /** Packets of a whole segment. */
  #whole;
  /** Packets from the pre-roll of the segment that is open. @type {Uint8Array[]} */
  #packets = [];
  /** How many of them are before the segment. */
  #before = 0;
  #index = 0;

  /**
   * @param {object} options
   * @param {number} options.seconds Of a segment.
   * @param {number} options.frameMs Of a packet.
   * @param {number} options.channels
   * @param {number} options.sampleRate
   * @param {() => number} options.lookAhead Samples at 48 kHz by which the encoder is behind, at most a packet.
   * @param {(segment: SegmentFile) => void} emit
   */
  constructor({ seconds, frameMs, channels, sampleRate, lookAhead }, emit) {
    this.#options = { frameMs, channels, sampleRate, lookAhead };
    this.#emit = emit;
    this.#preRoll = Math.ceil(OPUS_PRE_ROLL_MS / frameMs);
    this.#whole = Math.max(this.#preRoll, Math.round((1000 * seconds) / frameMs));
  }

  /** @param {Uint8Array} packet */
  push(packet) {
    this.#packets.push(packet);
    if (this.#packets.length > this.#before + this.#whole) this.#cut(this.#whole);
  }

  /** Nothing more comes: what is left is a segment too, shorter than the others. */
  finish() {
    const left = this.#packets.length - this.#before;
    // the last packet is no sound of its own: it only completes the one before
    if (left > 1) this.#cut(left - 1);
    this.#packets = [];
  }

  /** @param {number} count Packets of the segment; one more follows them. */
  #cut(count) {
    const { frameMs, lookAhead, channels, sampleRate } = this.#options;
    const end = this.#before + count;
    const ahead = lookAhead();
    const perPacket = (CLOCK * frameMs) / 1000;
    const file = webmFile({
      packets: this.#packets.slice(0, end + 1),
      frameMs,
      channels,
      sampleRate,
      skip: this.#before * perPacket + ahead,
      discard: perPacket - ahead,
    });
    const start = (this.#index * this.#whole * frameMs) / 1000;
    this.#emit({ file, index: this.#index++, start, duration: (count * frameMs) / 1000 });
    this.#packets = this.#packets.slice(end - this.#preRoll);
    this.#before = this.#preRoll;
  }
}
