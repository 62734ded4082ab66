/**
 * One speaker: sound from a stream of the browser to the server, and its words back.
 */

import { problem } from "./problems.js";
import { AudioStreamManager } from "./web/sdk/audio-stream-manager.js";
import { Transcript } from "./web/transcript.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./web/sdk/stream-events.js").StreamState} StreamState */
/** @typedef {import("./web/transcript.js").Line} Line */

const SAMPLE_RATE = 16_000;
const FRAME_SAMPLES = 320;
const FINISH_DEADLINE_MS = 500;

/**
 * What a voice tells: `level` for each 20 ms, `gone` when its source ceases by itself. A `problem` is passing, but for that
 * of an `ended` state.
 *
 * @typedef {{type: "level", level: number}
 *   | {type: "final", line: Line}
 *   | {type: "partials"}
 *   | {type: "gone"}
 *   | {type: "problem", problem: Problem}
 *   | {type: "state", state: StreamState, problem: Problem | null}} VoiceEvent
 */

export class Voice {
  #name;
  #named;
  #session;
  #tell;
  #stream;
  #transcript = new Transcript();
  /** @type {MediaStream | null} */
  #media = null;
  /** @type {{context: AudioContext, node: AudioWorkletNode} | null} */
  #graph = null;
  #stopped = false;

  /**
   * @param {object} options
   * @param {string} options.name Of the speaker.
   * @param {boolean} options.named Whether it is shown beside the words.
   * @param {string} options.session Its name at the server.
   * @param {import("./settings.js").Settings} options.settings
   * @param {(event: VoiceEvent) => void} options.tell
   */
  constructor({ name, named, session, settings, tell }) {
    this.#name = name;
    this.#named = named;
    this.#session = session;
    this.#tell = tell;
    const { server, key, language } = settings;
    const stream = new AudioStreamManager({ server, key, role: name, ...(language === "" ? {} : { language }) });
    stream.on("take", ({ offset, fresh }) => {
      this.#transcript.beginTake(offset);
      this.#tell({ type: "partials" });
      if (!fresh) this.#tell({ type: "problem", problem: problem("session_lost") });
    });
    stream.on("transcript", (result) => this.#onTranscript(result));
    stream.on("error", ({ error }) => this.#tell({ type: "problem", problem: problem(error.code, error) }));
    stream.on("lost", ({ seconds }) => this.#tell({ type: "problem", problem: lostSound(seconds) }));
    stream.on("state", ({ state }) => this.#onState(state));
    this.#stream = stream;
  }

  /** Words that are not final yet. */
  get partials() {
    return [...this.#transcript.partials.values()].filter((line) => line.text !== "").map((line) => this.#shown(line));
  }

  /** @param {MediaStream} media Whose first audio track is sent. */
  async open(media) {
    this.#media = media;
    const context = new AudioContext({ sampleRate: SAMPLE_RATE });
    await context.audioWorklet.addModule(new URL("./web/sdk/capture-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "antiphon-capture", {
      processorOptions: { sampleRate: SAMPLE_RATE, frameSamples: FRAME_SAMPLES },
    });
    node.port.onmessage = ({ data }) => {
      if (data === null) return;
      this.#stream.sendAudioData(data.samples);
      this.#tell({ type: "level", level: data.level });
    };
    context.createMediaStreamSource(media).connect(node).connect(context.destination);
    this.#graph = { context, node };
    for (const track of media.getTracks()) {
      track.addEventListener("ended", () => {
        if (!this.#stopped) this.#tell({ type: "gone" });
      });
    }
    void this.#stream.connect(this.#session).catch(() => undefined); // its state tells
  }

  /** Let go of the source and have the last words; a second call does not wait for them. */
  async stop() {
    this.#stopped = true;
    await this.#release();
    this.#stream.leave();
  }

  /** Let go of everything at once. */
  async abandon() {
    await this.stop();
    this.#stream.leave();
  }

  retryNow() {
    this.#stream.retryNow();
  }

  async #release() {
    const graph = this.#graph;
    this.#graph = null;
    if (graph !== null) {
      await new Promise((resolve) => {
        graph.node.port.addEventListener("message", ({ data }) => data === null && resolve(undefined));
        setTimeout(resolve, FINISH_DEADLINE_MS);
        graph.node.port.postMessage("finish");
      });
      await graph.context.close();
    }
    for (const track of this.#media?.getTracks() ?? []) track.stop();
  }

  /** @param {import("./web/sdk/stream-events.js").StreamEvents["transcript"]} result */
  #onTranscript(result) {
    if (!result.own) return; // the other voice of the session hears it itself
    if (this.#transcript.apply(result) === "final") {
      const line = this.#transcript.lines.pop();
      if (line !== undefined) this.#tell({ type: "final", line: this.#shown(line) });
    }
    this.#tell({ type: "partials" });
  }

  /** @param {StreamState} state */
  #onState(state) {
    if (state.phase !== "ended") {
      this.#tell({ type: "state", state, problem: null });
      return;
    }
    this.#stopped = true;
    void this.#release();
    const { reason, error } = state;
    const fault = reason === "left" || reason === "abandoned" ? null : reason;
    const found = error === null ? fault && problem(fault) : problem(error.code, error);
    this.#tell({ type: "state", state, problem: found });
  }

  /** A line as the panel shows it. @param {Line} line @returns {Line} */
  #shown(line) {
    return { ...line, key: `${this.#name}/${line.key}`, speaker: this.#named ? this.#name : null, words: [] };
  }
}

/** @param {number} seconds */
function lostSound(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  return {
    code: "lost",
    title: `${whole} second${whole === 1 ? "" : "s"} of sound ${whole === 1 ? "was" : "were"} lost`,
    action: "The connection was away for longer than the 30 seconds kept here.",
    detail: "",
  };
}
