/**
 * Whatever portions sound comes in, to the frames that are sent.
 */

import { largestFrame, littleEndian } from "./audio-format.js";
import { RtcError } from "./errors.js";

const EMPTY = new Uint8Array(0);

export class FrameCutter {
  #format;
  #emit;
  #largest;
  /** PCM that does not fill a frame yet. */
  #rest = EMPTY;

  /**
   * @param {import("./audio-format.js").AudioFormat} format
   * @param {(frame: Uint8Array) => void} emit Is given each frame, to be copied.
   */
  constructor(format, emit) {
    this.#format = format;
    this.#emit = emit;
    this.#largest = largestFrame(format);
  }

  /**
   * @param {Int16Array | Uint8Array | ArrayBuffer} audioData PCM in any portion, one Opus packet, or bytes of a container.
   * @throws {RtcError} `bad_audio`: it can't be in that format.
   */
  push(audioData) {
    const bytes = bytesOf(audioData);
    if (this.#format.codec === "opus") this.#packet(bytes);
    else if (this.#format.codec === "pcm_s16le") this.#samples(bytes);
    else for (let at = 0; at < bytes.length; at += this.#largest) this.#emit(bytes.subarray(at, at + this.#largest));
  }

  /** Fill the frame that was begun with silence, and give it out. */
  finish() {
    if (this.#rest.length === 0) return;
    const frame = new Uint8Array(this.#largest);
    frame.set(this.#rest);
    this.#rest = EMPTY;
    this.#emit(frame);
  }

  /** @param {Uint8Array} packet */
  #packet(packet) {
    if (packet.length === 0) return;
    if (packet.length > this.#largest) {
      const message = `A packet of ${packet.length} bytes is longer than any of ${this.#format.frameMs} ms of Opus.`;
      throw new RtcError("bad_audio", { message });
    }
    this.#emit(packet);
  }

  /** @param {Uint8Array} bytes */
  #samples(bytes) {
    if (bytes.length % (2 * this.#format.channels) !== 0) {
      throw new RtcError("bad_audio", { message: `${bytes.length} bytes are not a whole number of samples.` });
    }
    let all = bytes;
    if (this.#rest.length > 0) {
      all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
    }
    let at = 0;
    for (; at + this.#largest <= all.length; at += this.#largest) this.#emit(all.subarray(at, at + this.#largest));
    this.#rest = at === all.length ? EMPTY : all.slice(at);
  }
}

/** @param {Int16Array | Uint8Array | ArrayBuffer} data */
function bytesOf(data) {
  if (data instanceof Int16Array) return littleEndian(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
