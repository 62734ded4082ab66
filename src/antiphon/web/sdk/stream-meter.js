/**
 * What the way of a stream to its server is like: out of pings, acknowledgements and what both sides count.
 */


/** Before the first look. */
const NOTHING = {
  at: -1,
  bytes: 0,
  taken: 0,
  lost: 0,
  received: 0,
  frames: 0,
  dropped: 0,
  told: { received: 0, lost: 0 },
};

/** Pings that are kept in mind. */
const MOST_PINGS = 16;
/** A ping that has been away for so long, in milliseconds, tells something before it is back. */
const SURELY_MS = 1000;

/** Compares what was counted with the last look. */
export class StreamMeter {
  #buffer;
  #frameMs;
  /** What each who looks has seen last. @type {WeakMap<object, typeof NOTHING>} */
  #seen = new WeakMap();
  #received = 0;
  #frames = 0;
  /** What the server counted of this stream: since the last look, and all that it told. */
  #server = { received: 0, lost: 0, jitter: 0 };

  /** The last round trip in milliseconds; null before the first ping came back. @type {number | null} */
  #roundTrip = null;
  /** Those of late. @type {{at: number, milliseconds: number}[]} */
  #pongs = [];
  /** When each ping was sent that has not come back. @type {number[]} */
  #pings = [];
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

  /** @param {number} now Milliseconds: a ping is sent. */
  ping(now) {
    this.#pings.push(now);
    if (this.#pings.length > MOST_PINGS) this.#pings.splice(1, 1); // the oldest says how long it takes at least
  }

  /**
   * @param {number} sent When the ping was sent that has come back.
   * @param {number} now
   * @returns {number} Milliseconds that it took.
   */
  pong(sent, now) {
    this.#pings = this.#pings.filter((ping) => ping > sent);
    this.#roundTrip = Math.max(0, now - sent);
    this.#pongs.push({ at: now, milliseconds: this.#roundTrip });
    if (this.#pongs.length > MOST_PINGS) this.#pongs.shift();
    return this.#roundTrip;
  }

  /** The connection is gone, and what was to come over it. */
  disconnected() {
    this.#pings = [];
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
   * @param {object} looker Who looks, and compares with its own last look.
   * @param {number} now Milliseconds.
   * @param {number} buffered Bytes that wait in the socket.
   * @returns {import("./stream-events.js").StreamConditions}
   */
  look(looker, now, buffered) {
    const { bytes, taken, lost, waiting, unacknowledged } = this.#buffer;
    const server = this.#server;
    const before = this.#seen.get(looker) ?? NOTHING;
    this.#seen.set(looker, {
      at: now,
      bytes,
      taken,
      lost,
      received: this.#received,
      frames: this.#frames,
      dropped: this.dropped,
      told: { received: server.received, lost: server.lost },
    });
    const { told } = before;
    const seconds = before === NOTHING ? 0 : (now - before.at) / 1000;
    const waited = now - (this.#pings[0] ?? now);
    const since = this.#pongs.filter(({ at }) => at > before.at).map(({ milliseconds }) => milliseconds);
    const known = since.length > 0 ? Math.max(...since) : this.#roundTrip;
    const roundTrip = known === null && waited < SURELY_MS ? null : Math.max(known ?? 0, waited);
    const rate = (/** @type {number} */ more) => (seconds > 0 ? Math.max(0, (8 * more) / seconds) : 0);
    return {
      roundTrip,
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
