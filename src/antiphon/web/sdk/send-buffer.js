/**
 * Frames on their way to a server that may be away: the last ones are kept, sent and acknowledged ones too, and can be
 * sent again from any of them.
 */

import { frameSamples, largestFrame } from "./audio-format.js";
import { FrameStore, packet } from "./rtp.js";

const PAYLOAD_TYPE = 96;

/** A circular buffer of what is sent: when it is full, the oldest frame goes for a new one. */
export class SendBuffer {
  #store;
  #samples;
  #rtp;
  #ssrc;
  /** Index in the store of the session's sequence number 0. */
  #base = 0;
  /** Index of the next frame to send. */
  #cursor = 0;
  /** Every frame below this index is safe with the server, in this session. */
  #safe = 0;
  /** Index of the first frame after the last final. */
  #heard = 0;

  /** Frames that were dropped before the server got them. */
  lost = 0;
  /** Messages handed out, and bytes of their payload; what was sent again is among them. */
  sent = 0;
  bytes = 0;

  /**
   * @param {object} options
   * @param {import("./audio-format.js").AudioFormat} options.format
   * @param {boolean} options.rtp Whether frames get an RTP header.
   * @param {number} options.bufferMs Milliseconds of sound that are kept.
   * @param {number} options.ssrc 32-bit source identifier.
   */
  constructor({ format, rtp, bufferMs, ssrc }) {
    /** Frames a second. */
    this.rate = 1000 / format.frameMs;
    this.#store = new FrameStore(Math.max(1, Math.ceil(bufferMs / format.frameMs)), largestFrame(format));
    this.#samples = frameSamples(format);
    this.#rtp = rtp;
    this.#ssrc = ssrc;
  }

  /** Frames that were given to it, from the beginning. */
  get taken() {
    return this.#store.end;
  }

  /** Frames that were not sent yet and still can be. */
  get waiting() {
    return this.#store.end - Math.max(this.#cursor, this.#store.start);
  }

  /** Frames that were sent in this session and not acknowledged yet. */
  get unacknowledged() {
    return Math.max(0, this.#cursor - this.#safe);
  }

  /** @param {Uint8Array} frame Copied. */
  push(frame) {
    this.#store.push(frame);
  }

  /**
   * Give up what was not sent and is not held any more.
   *
   * @returns {number} Frames.
   */
  skipMissing() {
    const missing = Math.max(0, this.#store.start - this.#cursor);
    this.#cursor += missing;
    this.lost += missing;
    return missing;
  }

  /**
   * @returns {Uint8Array<ArrayBuffer>} The next frame that waits, as a message.
   */
  next() {
    const index = this.#cursor++;
    const frame = this.#store.at(index);
    this.sent++;
    this.bytes += frame.length;
    if (!this.#rtp) return new Uint8Array(frame);
    const sequence = index - this.#base;
    const timestamp = sequence * this.#samples;
    return packet(frame, { sequence, timestamp, ssrc: this.#ssrc, payloadType: PAYLOAD_TYPE });
  }

  /**
   * A session begins with the sound that followed the last final.
   *
   * @param {boolean} first Whether it is the first one, which begins with the first frame.
   * @returns {{offset: number, lost: number}} Seconds into all that was taken, and frames that can't be sent any more.
   */
  begin(first) {
    const lost = first ? 0 : this.skipMissing();
    this.#base = first ? 0 : Math.max(this.#store.start, this.#heard);
    return { offset: this.#base / this.rate, lost };
  }

  /** @param {number} sequence The server wants the frame of this number next. */
  goOnFrom(sequence) {
    this.#cursor = Math.min(this.#base + sequence, this.#store.end);
    this.#safe = this.#cursor;
  }

  /** @param {number} sequence Every frame up to this one is safe. */
  acknowledge(sequence) {
    this.#safe = Math.max(this.#safe, Math.min(this.#base + sequence + 1, this.#cursor));
  }

  /** What was sent and is not safe has to be sent again, where the server tells what is. */
  rewind() {
    if (this.#rtp) this.#cursor = this.#safe;
  }

  /** The server takes no more. */
  discard() {
    this.#cursor = this.#store.end;
  }

  /** @param {number} seconds Into the session: a final ends there. */
  hearUntil(seconds) {
    this.#heard = Math.max(this.#heard, this.#base + Math.floor(seconds * this.rate));
  }
}
