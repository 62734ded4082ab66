/**
 * The part of a player that runs on the audio thread: the jitter buffer between the worker's port and the output.
 */

import { JitterBuffer } from "./jitter-buffer.js";

/** Samples between two reports: about thirty a second. */
const REPORT_EVERY = 1_536;

/**
 * What the worker sends.
 *
 * @typedef {{type: "begin", frameMs: number, live: boolean} | {type: "audio", samples: Float32Array, position?: number} |
 *   {type: "skip", length: number} | {type: "rejoin"} | {type: "end"} | {type: "clear", quiet: boolean}} PlayerOrder
 */

class PlayerProcessor extends AudioWorkletProcessor {
  #buffer;
  /** @type {MessagePort | null} */
  #worker = null;
  #running = true;
  #state = "idle";
  #reported = 0;

  /** @param {{processorOptions: {maxMs: number}}} options */
  constructor({ processorOptions }) {
    super();
    this.#buffer = new JitterBuffer({ sampleRate, maxMs: processorOptions.maxMs });
    this.port.onmessage = ({ data }) => {
      if (data.type === "port") {
        this.#worker = data.port;
        data.port.onmessage = (/** @type {MessageEvent<PlayerOrder>} */ { data }) => this.#take(data);
      } else if (data.type === "clear") this.#take({ type: "clear", quiet: true });
      else if (data.type === "close") {
        this.#worker?.close();
        this.#running = false;
      }
    };
  }

  /** @param {PlayerOrder} order */
  #take(order) {
    switch (order.type) {
      case "audio":
        return this.#buffer.push(order.samples, currentFrame, order.position);
      case "skip":
        return this.#buffer.skip(order.length);
      case "begin":
        return this.#buffer.begin(order);
      case "rejoin":
        return this.#buffer.rejoin();
      case "end":
        return this.#buffer.end();
      case "clear":
        this.#buffer.clear();
        if (!order.quiet) this.port.postMessage({ type: "cleared" });
    }
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   * @returns {boolean} Whether the processor is still needed.
   */
  process(_inputs, outputs) {
    const output = outputs[0]?.[0];
    if (output === undefined) return this.#running;
    this.#buffer.pull(output, currentFrame);
    const { state } = this.#buffer;
    if (state !== this.#state) {
      this.#state = state;
      this.#report();
      if (state !== "idle") this.port.postMessage({ type: "state", state });
    } else if (currentFrame - this.#reported >= REPORT_EVERY) this.#report();
    return this.#running;
  }

  #report() {
    this.#reported = currentFrame;
    this.port.postMessage({ type: "stats", stats: this.#buffer.stats });
  }
}

registerProcessor("antiphon-player", PlayerProcessor);
