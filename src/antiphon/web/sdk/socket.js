/**
 * A small Socket.IO client (protocol revision 5, on Engine.IO revision 4), over WebSocket only. It has the part of
 * socket.io-client's interface that signaling uses, so that either can be given to it.
 */

import { Backoff, Deadlines, systemTimers } from "./timing.js";
import { isRecord } from "./wire.js";

const OPEN_DEADLINE_MS = 10_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 15_000;
/** Until the server has told its own: pingInterval and pingTimeout together. */
const SILENT_SERVER_MS = 45_000;
/** Acknowledgements waited for at once. */
const MOST_ACKS = 64;

/**
 * @typedef {object} SocketLike What signaling needs of a Socket.IO socket.
 * @property {boolean} connected
 * @property {string | undefined} id
 * @property {() => unknown} connect
 * @property {() => unknown} disconnect
 * @property {(event: string, listener: (...data: any[]) => void) => unknown} on
 * @property {(event: string, listener: (...data: any[]) => void) => unknown} off
 * @property {(event: string, ...data: any[]) => unknown} emit A function as the last argument takes the acknowledgement.
 */

/** Refused by the server, which says why in `data`. */
export class ConnectError extends Error {
  /**
   * @param {string} message
   * @param {unknown} data
   */
  constructor(message, data) {
    super(message);
    this.name = "ConnectError";
    this.data = data;
  }
}

/** @implements {SocketLike} */
export class Socket {
  #url;
  #auth;
  #openSocket;
  #timers;
  #deadlines;
  #backoff;
  /** @type {Map<string, Set<(...data: any[]) => void>>} */
  #listeners = new Map();
  /** @type {WebSocket | null} */
  #socket = null;
  #silence = SILENT_SERVER_MS;
  #ackId = 0;
  /** @type {Map<number, (...data: unknown[]) => void>} */
  #acks = new Map();

  /** @type {string | undefined} */
  id = undefined;

  /**
   * @param {string | URL} base Of the server, `http:` or `https:`.
   * @param {object} [options]
   * @param {() => Record<string, unknown>} [options.auth] What the connection is asked for with, such as a `token`.
   * @param {(url: string) => WebSocket} [options.openSocket]
   * @param {import("./timing.js").Timers} [options.timers]
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor(base, { auth = () => ({}), openSocket, timers = systemTimers, random = Math.random } = {}) {
    const url = new URL("/socket.io/?EIO=4&transport=websocket", base);
    url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
    this.#url = url.href;
    this.#auth = auth;
    this.#openSocket = openSocket ?? ((address) => new WebSocket(address));
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: Infinity, random });
  }

  get connected() {
    return this.id !== undefined;
  }

  connect() {
    if (this.#socket !== null) return this;
    this.#deadlines.cancel("retry");
    const socket = this.#openSocket(this.#url);
    this.#socket = socket;
    this.#deadlines.set("open", OPEN_DEADLINE_MS, () => this.#down("timeout", true));
    const current = () => this.#socket === socket;
    socket.onmessage = ({ data }) => current() && typeof data === "string" && this.#take(data);
    socket.onclose = () => current() && this.#down("transport close", true);
    socket.onerror = () => undefined; // onclose follows
    return this;
  }

  /** Leave for good, until `connect`. */
  disconnect() {
    if (this.connected) this.#write("41");
    this.#down("io client disconnect", false);
    return this;
  }

  /**
   * @param {string} event
   * @param {(...data: any[]) => void} listener
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return this;
  }

  /**
   * @param {string} event
   * @param {(...data: any[]) => void} listener
   */
  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
    return this;
  }

  /**
   * Dropped while there is no connection.
   *
   * @param {string} event
   * @param {...unknown} data A function as the last takes the acknowledgement.
   */
  emit(event, ...data) {
    if (!this.connected) return this;
    const ack = data.at(-1);
    let id = "";
    if (typeof ack === "function") {
      data.pop();
      id = String(this.#ackId);
      this.#acks.set(this.#ackId++, /** @type {() => void} */ (ack));
      const [oldest] = this.#acks.keys();
      if (this.#acks.size > MOST_ACKS && oldest !== undefined) this.#acks.delete(oldest);
    }
    this.#write(`42${id}${JSON.stringify([event, ...data])}`);
    return this;
  }

  // Engine.IO: 0 open, 1 close, 2 ping, 3 pong, 4 message, 6 noop

  /** @param {string} packet */
  #take(packet) {
    if (this.connected) this.#expectServer();
    switch (packet[0]) {
      case "0": {
        const { pingInterval, pingTimeout } = parse(packet.slice(1));
        if (typeof pingInterval === "number" && typeof pingTimeout === "number") {
          this.#silence = pingInterval + pingTimeout;
        }
        return this.#write(`40${JSON.stringify(this.#auth())}`);
      }
      case "1":
        return this.#down("transport close", true);
      case "2":
        return this.#write("3");
      case "4":
        return this.#takeMessage(packet.slice(1));
    }
  }

  // Socket.IO: 0 connect, 1 disconnect, 2 event, 3 acknowledgement, 4 refused; 5 and 6 are binary, and nothing here is

  /** @param {string} packet */
  #takeMessage(packet) {
    const [, id = "", text = ""] = /^\d(\d*)(.*)$/s.exec(packet) ?? [];
    switch (packet[0]) {
      case "0":
        this.id = String(parse(packet.slice(1))["sid"] ?? "");
        this.#deadlines.cancel("open");
        this.#backoff.succeeded();
        this.#expectServer();
        return this.#tell("connect");
      case "1":
        return this.#down("io server disconnect", false);
      case "2": {
        const data = parseList(text);
        const name = data.shift();
        if (typeof name === "string") this.#tell(name, ...data);
        return;
      }
      case "3": {
        const ack = this.#acks.get(Number(id));
        this.#acks.delete(Number(id));
        return ack?.(...parseList(text));
      }
      case "4": {
        const { message, data } = parse(packet.slice(1));
        this.#down("refused", false);
        return this.#tell("connect_error", new ConnectError(String(message ?? "refused"), data));
      }
    }
  }

  #expectServer() {
    this.#deadlines.set("silence", this.#silence, () => this.#down("ping timeout", true));
  }

  /**
   * @param {string} reason As socket.io-client words it.
   * @param {boolean} again Whether to connect again by itself.
   */
  #down(reason, again) {
    const socket = this.#socket;
    const wasConnected = this.connected;
    this.#socket = null;
    this.id = undefined;
    this.#acks.clear();
    this.#deadlines.cancelAll();
    if (socket !== null) {
      socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    }
    if (again) {
      const wait = this.#backoff.failed(this.#timers.now(), 0) ?? BACKOFF_CAP_MS;
      this.#deadlines.set("retry", wait, () => this.connect());
    }
    if (wasConnected) this.#tell("disconnect", reason);
    else if (again) this.#tell("connect_error", new ConnectError(reason, undefined));
  }

  /** @param {string} packet */
  #write(packet) {
    if (this.#socket?.readyState === 1) this.#socket.send(packet);
  }

  /**
   * @param {string} event
   * @param {...unknown} data
   */
  #tell(event, ...data) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...data);
  }
}

/**
 * @param {string} text
 * @returns {Record<string, unknown>}
 */
function parse(text) {
  const value = parseAny(text);
  return isRecord(value) ? value : {};
}

/**
 * @param {string} text
 * @returns {unknown[]}
 */
function parseList(text) {
  const value = parseAny(text);
  return Array.isArray(value) ? value : [];
}

/** @param {string} text @returns {unknown} */
function parseAny(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
