/**
 * RTP framing (RFC 3550 section 5.1) and the store of frames that the server may still ask for.
 *
 * Sequence numbers are counted without wrapping here; the wire carries their low 16 bits.
 */

export const HEADER_BYTES = 12;

const VERSION = 2;
const MAX_SEQUENCE_DISTANCE = 0x8000;

/**
 * Put a fixed header in front of a payload.
 *
 * @param {Uint8Array} payload
 * @param {object} fields
 * @param {number} fields.sequence Unwrapped, from 0.
 * @param {number} fields.timestamp In samples, unwrapped; the wire carries its low 32 bits.
 * @param {number} fields.ssrc 32-bit source identifier.
 * @param {number} fields.payloadType 0 to 127.
 * @returns {Uint8Array<ArrayBuffer>} Header and payload, newly allocated.
 */
export function packet(payload, { sequence, timestamp, ssrc, payloadType }) {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION << 6);
  view.setUint8(1, payloadType & 0x7f);
  view.setUint16(2, sequence % 0x1_0000);
  view.setUint32(4, timestamp % 0x1_0000_0000);
  view.setUint32(8, ssrc % 0x1_0000_0000);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/**
 * The last frames of a stream, by index, in one circular block of memory.
 *
 * A frame stays after it was sent and acknowledged, until newer ones need its place: a server that lost the session can
 * be given the audio since the last final again.
 */
export class FrameStore {
  #frames;
  #lengths;
  #size;

  /** The index that the next frame gets. */
  end = 0;

  /**
   * @param {number} capacity Frames kept; the oldest is dropped for a new one.
   * @param {number} frameBytes Longest frame, in bytes.
   */
  constructor(capacity, frameBytes) {
    if (capacity < 1 || capacity > MAX_SEQUENCE_DISTANCE) {
      throw new RangeError(`a store holds 1 to ${MAX_SEQUENCE_DISTANCE} frames, not ${capacity}`);
    }
    this.#frames = new Uint8Array(capacity * frameBytes);
    this.#lengths = new Uint32Array(capacity);
    this.#size = frameBytes;
  }

  get capacity() {
    return this.#lengths.length;
  }

  /** The lowest index still held; equals `end` while nothing is held. */
  get start() {
    return Math.max(0, this.end - this.capacity);
  }

  /**
   * @param {Uint8Array} frame Copied.
   * @returns {number} The index of the frame.
   */
  push(frame) {
    if (frame.length > this.#size) {
      throw new RangeError(`a frame of ${frame.length} bytes does not fit in ${this.#size}`);
    }
    const slot = this.end % this.capacity;
    this.#frames.set(frame, slot * this.#size);
    this.#lengths[slot] = frame.length;
    return this.end++;
  }

  /**
   * @param {number} index
   * @returns {Uint8Array} A view, good until the next `push`.
   */
  at(index) {
    if (index < this.start || index >= this.end) {
      throw new RangeError(`frame ${index} is not held; ${this.start} to ${this.end - 1} are`);
    }
    const slot = index % this.capacity;
    const offset = slot * this.#size;
    return this.#frames.subarray(offset, offset + /** @type {number} */ (this.#lengths[slot]));
  }
}
