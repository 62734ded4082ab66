/**
 * What the way of a stream to its server is like: out of pings, acknowledgements and what both sides count.
 */


/** Compares what was counted with the last look. */
export class StreamMeter {
  #buffer;
  #frameMs;
  #before = { at: 0, bytes: 0, taken: 0, lost: 0, received: 0, frames: 0, dropped: 0 };
  #received = 0;
  #frames = 0;
  /** What the server counted of this stream: since the last look, and all that it told. */
  #server = { received: 0, lost: 0, jitter: 0 };
  #serverBefore = { received: 0, lost: 0 };
  #looked = false;

  /** Milliseconds; null before the first ping came back. @type {number | null} */
  roundTrip = null;
  /** Frames of reply audio that the server dropped. */
  dropped = 0;

  /**
   * @param {import("./send-buffer.js").SendBuffer} buffer
   * @param {number} frameMs
   */
  constructor(buffer, frameMs) {
    this.#buffer = buffer;
    this.#frameMs = frameMs;
  }

  /** Mean size of what is sent. */
  get bytesPerFrame() {
    const { sent, bytes } = this.#buffer;
    return sent === 0 ? 0 : bytes / sent;
  }

  /** @param {Uint8Array} frame Of the reply. */
  hear(frame) {
    this.#received += frame.length;
    this.#frames++;
  }

  /** @param {Record<string, unknown>} stats What the server counted of this stream. */
  hearServer({ received, lost, jitter }) {
    this.#server = { received: count(received), lost: count(lost), jitter: count(jitter) };
  }

  /**
   * @param {number} now Milliseconds.
   * @param {number} buffered Bytes that wait in the socket.
   * @returns {import("./stream-events.js").StreamConditions}
   */
  look(now, buffered) {
    const { bytes, taken, lost, waiting, unacknowledged } = this.#buffer;
    const before = this.#before;
    this.#before = { at: now, bytes, taken, lost, received: this.#received, frames: this.#frames, dropped: this.dropped };
    const server = this.#server;
    const told = this.#serverBefore;
    this.#serverBefore = { received: server.received, lost: server.lost };
    const seconds = this.#looked ? (now - before.at) / 1000 : 0;
    this.#looked = true;
    const rate = (/** @type {number} */ more) => (seconds > 0 ? Math.max(0, (8 * more) / seconds) : 0);
    return {
      roundTrip: this.roundTrip,
      loss: Math.max(
        share(lost - before.lost, taken - before.taken),
        share(server.lost - told.lost, server.received - told.received + server.lost - told.lost),
        share(this.dropped - before.dropped, this.#frames - before.frames + this.dropped - before.dropped),
      ),
      jitter: server.jitter,
      sent: rate(bytes - before.bytes),
      received: rate(this.#received - before.received),
      waiting: waiting * this.#frameMs,
      unacknowledged: unacknowledged * this.#frameMs,
      lost,
      dropped: this.dropped,
      buffered,
    };
  }
}

/** @param {unknown} value */
const count = (value) => (typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0);

/**
 * @param {number} part
 * @param {number} whole
 */
const share = (part, whole) => (part > 0 ? Math.min(1, part / Math.max(part, whole)) : 0);
