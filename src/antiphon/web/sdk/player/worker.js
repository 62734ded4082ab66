/**
 * The part of a player that runs in a worker: the connection and the decoder, where neither a busy page nor a tab's throttled
 * timers reach.
 */

import { formatProblem } from "./decoders.js";
import { Listening, bare } from "./listening.js";
import { SoundPath } from "./sound-path.js";

const REPORT_EVERY_MS = 500;
/** Orders that wait for the audio thread. */
const MOST_EARLY = 1_000;

/** @typedef {import("../wire.js").WireError} WireError */
/** @typedef {import("./events.js").LinkStats} LinkStats */

class PlayerWorker {
  /** @type {SoundPath | null} */
  #path = null;
  /** @type {Listening | null} */
  #listening = null;
  /** @type {{outputRate: number, port: MessagePort} | null} */
  #output = null;
  /** What came before there was somewhere to play it. @type {Record<string, any>[]} */
  #early = [];
  /** @type {ReturnType<typeof setInterval> | null} */
  #reporting = null;
  /** What is pushed meanwhile is not heard. */
  #held = false;
  #packets = 0;
  #bytes = 0;
  /** Bytes received at the last reports, the oldest first. @type {number[]} */
  #received = [0];
  #bitrate = 0;

  /** @param {Record<string, any>} order */
  take(order) {
    if (order["type"] === "port") {
      this.#output = { outputRate: order["sampleRate"], port: order["port"] };
      for (const early of this.#early.splice(0)) this.#do(early);
    } else if (order["type"] === "close") this.#close();
    else if (this.#output !== null) this.#do(order);
    else if (this.#early.length < MOST_EARLY) this.#early.push(order);
  }

  /** @param {Record<string, any>} order */
  #do(order) {
    switch (order["type"]) {
      case "listen":
        return this.#listen(order);
      case "open":
        return this.#open(order);
      case "packet":
        return this.#push(order["data"], order["missing"]);
      case "end":
        return void this.#path?.end();
      case "clear":
        this.#listening?.send({ type: "clear" });
        return this.#path?.clear();
      case "hold":
        this.#held = true;
        this.#listening?.hold(order["position"]);
        return this.#path?.clear({ quiet: true });
      case "release":
        this.#held = false;
        return this.#listening?.open();
      case "retry":
        return this.#listening?.retryNow();
      case "send":
        if (this.#listening?.send(order["message"]) !== true) this.#error(bare("not_connected"));
    }
  }

  /** @param {Record<string, any>} order */
  #listen({ server, key, options }) {
    const path = this.#newPath();
    this.#listening = new Listening({
      server,
      key,
      wanted: options,
      tell: (event) => {
        switch (event.type) {
          case "started": {
            const { frameMs, live } = event.started;
            if (event.again && !live) path.rejoin();
            else if (event.again) path.clear({ quiet: true });
            else void path.open({ codec: "opus", sampleRate: 48_000, channels: 1 }, { frameMs, live });
            post({ type: "connected" });
            return post({ type: "event", name: "started", detail: event.started });
          }
          case "packet":
            return path.put(event.packet, event.tag);
          case "dropped":
            return post({ type: "event", name: "dropped", detail: { packets: event.packets, total: event.total } });
          case "clear":
            return path.clear();
          case "bitrate":
            return post({ type: "event", name: "bitrate-change", detail: { bitrate: event.bitrate } });
          case "saying":
            return post({ type: "event", name: "saying", detail: { id: event.id, text: event.text } });
          case "said":
            return post({ type: "event", name: "said", detail: { id: event.id } });
          case "over":
            post({ type: "reason", reason: event.reason });
            this.#tellStats();
            return void path.end();
          case "waiting":
            return post({ type: "reconnecting", attempt: event.attempt, delay: event.delay });
          case "failed":
            path.clear({ quiet: true });
            return post({ type: "failed", error: plain(event.error) });
          case "error":
            return this.#error(event.error);
        }
      },
    });
    this.#report();
  }

  /** @param {Record<string, any>} order */
  #open(order) {
    const problem = formatProblem(order);
    if (problem !== "") return post({ type: "failed", error: { code: "unsupported_codec", detail: problem } });
    const { codec, sampleRate, channels, frameMs, live } = order;
    void this.#newPath().open({ codec, sampleRate, channels }, { frameMs, live });
    this.#frameSeconds = frameMs / 1000;
    this.#report();
    post({ type: "connected" });
  }

  #frameSeconds = 0.02;

  /**
   * @param {Uint8Array} data
   * @param {number} missing
   */
  #push(data, missing) {
    this.#packets++;
    this.#bytes += data.length;
    if (!this.#held) this.#path?.put(data, { duration: this.#frameSeconds, missing: missing * this.#frameSeconds });
  }

  #newPath() {
    const { outputRate, port } = /** @type {{outputRate: number, port: MessagePort}} */ (this.#output);
    this.#path = new SoundPath({
      outputRate,
      send: (order, transfer = []) => port.postMessage(order, /** @type {ArrayBuffer[]} */ (transfer)),
      fail: (code, detail) => {
        this.#listening?.close();
        post({ type: "failed", error: { code, detail } });
      },
    });
    return this.#path;
  }

  /** @param {WireError} error */
  #error(error) {
    post({ type: "error", error: plain(error) });
  }

  #report() {
    this.#reporting ??= setInterval(() => {
      const { bytes } = this.#listening ?? { bytes: this.#bytes };
      const [before = 0] = this.#received;
      const seconds = (this.#received.length * REPORT_EVERY_MS) / 1000;
      this.#received.push(bytes);
      if (this.#received.length > 2) this.#received.shift();
      this.#bitrate = Math.round((8 * (bytes - before)) / seconds);
      this.#tellStats();
    }, REPORT_EVERY_MS);
  }

  #tellStats() {
    const { packets, bytes, lost = 0, reconnects = 0, roundTrip = null } = this.#listening ?? {
      packets: this.#packets,
      bytes: this.#bytes,
    };
    const { bad = 0, decoder = "" } = this.#path ?? {};
    /** @type {LinkStats} */
    const stats = { packets, bytes, bitrate: this.#bitrate, bad, lost, reconnects, roundTrip, decoder };
    post({ type: "link", stats });
  }

  #close() {
    if (this.#reporting !== null) clearInterval(this.#reporting);
    this.#listening?.close();
    this.#path?.close();
  }
}

/** @param {Record<string, unknown>} told */
const post = (told) => self.postMessage(told);

/**
 * An error as what it is made of again on the page; one of this SDK's own has its words there.
 *
 * @param {WireError} error
 */
const plain = ({ message, ...rest }) => (message === "" ? rest : { ...rest, message });

const worker = new PlayerWorker();
self.onmessage = ({ data }) => worker.take(data);
