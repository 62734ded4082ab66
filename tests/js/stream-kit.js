/** What the tests of the stream stand on: time that is moved by hand, and the server's end of real sockets. */

import { EventEmitter, once } from "node:events";

import { WebSocket, WebSocketServer } from "ws";

import { AudioStreamManager } from "../../src/antiphon/web/sdk/audio-stream-manager.js";

/** @typedef {import("../../src/antiphon/web/sdk/stream-events.js").StreamEvents} StreamEvents */
/** @typedef {import("../../src/antiphon/web/sdk/stream-events.js").StreamState} StreamState */
/** @typedef {{[T in keyof StreamEvents]: StreamEvents[T] & {type: T}}[keyof StreamEvents]} StreamEvent */
/** @typedef {import("../../src/antiphon/web/sdk/timing.js").Timers} Timers */

const DEADLINE_MS = 5_000;
const FRAME_SAMPLES = 320;
/** @type {(keyof StreamEvents)[]} */
const TYPES = [
  "state",
  "joined",
  "take",
  "transcript",
  "speaking",
  "lost",
  "audio",
  "clear",
  "dropped",
  "round-trip",
  "bitrate-change",
  "message",
  "error",
];

/** Time that stands still until it is moved. */
export class VirtualTime {
  #now = 0;
  /** @type {Map<number, {at: number, action: () => void}>} */
  #timers = new Map();
  #id = 0;

  /** @type {Timers} */
  timers = {
    now: () => this.#now,
    after: (milliseconds, action) => {
      const id = this.#id++;
      this.#timers.set(id, { at: this.#now + milliseconds, action });
      return () => this.#timers.delete(id);
    },
  };

  /** @param {number} milliseconds */
  move(milliseconds) {
    const until = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next[0]);
      this.#now = next[1].at;
      next[1].action();
    }
    this.#now = until;
  }

  get waiting() {
    return this.#timers.size;
  }
}

/** One thing after another, each waited for. @template T */
export class Inbox {
  /** @type {T[]} */
  #items = [];
  #emitter = new EventEmitter();

  /** @param {T} item */
  put(item) {
    this.#items.push(item);
    this.#emitter.emit("item");
  }

  /**
   * The next thing that fits; those before it are dropped.
   *
   * @template {T} U
   * @param {(item: T) => item is U} fits
   * @returns {Promise<U>}
   */
  async next(fits) {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    for (;;) {
      for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
        if (fits(item)) return item;
      }
      await once(this.#emitter, "item", { signal });
    }
  }

  /** Everything that is there. */
  drain() {
    return this.#items.splice(0);
  }
}

/** @typedef {{kind: "control", message: Record<string, any>} | {kind: "frame", sequence: number, timestamp: number, sample: number}} FromClient */

/** The server's end of one connection. */
export class Line {
  /** @type {Inbox<FromClient>} */
  inbox = new Inbox();

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data, isBinary) => {
      const bytes = /** @type {Buffer} */ (data);
      if (!isBinary) {
        this.inbox.put({ kind: "control", message: JSON.parse(bytes.toString()) });
        return;
      }
      this.inbox.put({
        kind: "frame",
        sequence: bytes.readUInt16BE(2),
        timestamp: bytes.readUInt32BE(4),
        sample: bytes.readInt16LE(12),
      });
    });
  }

  /** @param {object} message */
  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** @param {string} type */
  async control(type) {
    const { message } = await this.inbox.next(
      /** @returns {item is Extract<FromClient, {kind: "control"}>} */
      (item) => item.kind === "control" && item.message["type"] === type,
    );
    return message;
  }

  async frame() {
    return await this.inbox.next(
      /** @returns {item is Extract<FromClient, {kind: "frame"}>} */ (item) => item.kind === "frame",
    );
  }

  /** @param {number} count @returns {Promise<number[]>} First sample of each. */
  async frames(count) {
    const samples = [];
    while (samples.length < count) samples.push((await this.frame()).sample);
    return samples;
  }

  /** @param {object} [more] */
  joined(more = {}) {
    this.say({ type: "joined", sessionId: "s1", participantId: "p1", resumeToken: "t1", nextSeq: 0, ...more });
  }
}

/**
 * A stream under test with its server, its clock and what it tells.
 */
export class Rig {
  time = new VirtualTime();
  /** @type {Inbox<StreamEvent>} */
  events = new Inbox();
  /** @type {Inbox<Line>} */
  #lines = new Inbox();
  #server;
  /** What `Math.random` gives in the stream: 1 makes each backoff as long as it can be. */
  random = 1;

  /**
   * @param {WebSocketServer} server
   * @param {import("../../src/antiphon/web/sdk/audio-stream-manager.js").StreamOptions} options
   */
  constructor(server, options) {
    this.#server = server;
    server.on("connection", (socket) => this.#lines.put(new Line(socket)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    this.stream = new AudioStreamManager({
      server: `http://127.0.0.1:${port}`,
      language: "en-US",
      ...options,
      openSocket: (url) => {
        const socket = new WebSocket(url);
        socket.on("error", () => undefined); // a browser's socket need not be listened to, Node's must
        return /** @type {globalThis.WebSocket} */ (/** @type {unknown} */ (socket));
      },
      timers: this.time.timers,
      random: () => this.random,
    });
    for (const type of TYPES) {
      this.stream.on(type, (detail) => this.events.put(/** @type {StreamEvent} */ ({ ...detail, type })));
    }
  }

  /**
   * @param {import("node:test").TestContext} context
   * @param {import("../../src/antiphon/web/sdk/audio-stream-manager.js").StreamOptions} [options]
   */
  static async open(context, options = {}) {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    const rig = new Rig(server, options);
    context.after(() => rig.close());
    return rig;
  }

  /** The next connection, its `join` read. */
  async line() {
    const line = await this.#lines.next(/** @returns {item is Line} */ (item) => item instanceof Line);
    return { line, join: await line.control("join") };
  }

  /** Start, and be joined. */
  async live() {
    void this.stream.connect();
    const { line, join } = await this.line();
    line.joined();
    await this.phase("live");
    return { line, join };
  }

  /** @param {number} count @param {number} [first] Frames whose samples all have the frame's number. */
  speak(count, first = 0) {
    for (let i = first; i < first + count; i++) this.stream.sendAudioData(new Int16Array(FRAME_SAMPLES).fill(i));
  }

  /**
   * @template {StreamEvent["type"]} K
   * @param {K} type
   * @returns {Promise<Extract<StreamEvent, {type: K}>>}
   */
  async told(type) {
    return await this.events.next(
      /** @returns {event is Extract<StreamEvent, {type: K}>} */ (event) => event.type === type,
    );
  }

  /**
   * @template {StreamState["phase"]} P
   * @param {P} phase
   * @returns {Promise<Extract<StreamState, {phase: P}>>}
   */
  async phase(phase) {
    for (;;) {
      const { state } = await this.told("state");
      if (state.phase === phase) {
        return /** @type {Extract<StreamState, {phase: P}>} */ (state);
      }
    }
  }

  async stopListening() {
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async close() {
    this.stream.leave();
    this.stream.leave();
    await this.stopListening();
  }
}
