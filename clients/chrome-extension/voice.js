/**
 * One speaker: the frames of one channel to the server, and its words back.
 */

import { problem } from "./problems.js";
import { AudioStreamManager } from "./web/sdk/audio-stream-manager.js";
import { Transcript } from "./web/transcript.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./web/sdk/audio-format.js").AudioFormat} AudioFormat */
/** @typedef {import("./web/sdk/stream-events.js").StreamEvents} StreamEvents */
/** @typedef {import("./web/sdk/stream-events.js").StreamState} StreamState */
/** @typedef {import("./web/transcript.js").Line} Line */

/**
 * What a voice tells. A `problem` is passing, but for that of an `ended` state.
 *
 * @typedef {{type: "final", line: Line}
 *   | {type: "partials"}
 *   | {type: "problem", problem: Problem}
 *   | {type: "state", state: StreamState, problem: Problem | null}} VoiceEvent
 */

export class Voice {
  #name;
  #named;
  #tell;
  #stream;
  #transcript = new Transcript();

  /**
   * @param {object} options
   * @param {string} options.name Of the speaker.
   * @param {boolean} options.named Whether it is shown beside the words.
   * @param {AudioFormat} options.format
   * @param {import("./settings.js").Settings} options.settings
   * @param {(event: VoiceEvent) => void} options.tell
   */
  constructor({ name, named, format, settings, tell }) {
    this.#name = name;
    this.#named = named;
    this.#tell = tell;
    const { server, key, language } = settings;
    const stream = new AudioStreamManager({ server, key, format, role: name, ...(language === "" ? {} : { language }) });
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

  /** @param {string} session Its name at the server. */
  join(session) {
    void this.#stream.connect(session); // its state tells what becomes of it
  }

  /** @param {Uint8Array} frame */
  send(frame) {
    this.#stream.sendAudioData(frame);
  }

  /** Have the last words; a second call does not wait for them. */
  leave() {
    this.#stream.leave();
  }

  retryNow() {
    this.#stream.retryNow();
  }

  /** @param {StreamEvents["transcript"]} result */
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
    const { reason, error } = state;
    const fault = reason === "left" || reason === "abandoned" ? null : problem(reason);
    this.#tell({ type: "state", state, problem: error === null ? fault : problem(error.code, error) });
  }

  /** A line as the panel shows it. @param {Line} line @returns {Line} */
  #shown(line) {
    return { ...line, key: `${this.#name}/${line.key}`, speaker: this.#named ? this.#name : null, words: [] };
  }
}

/**
 * @param {number} seconds
 * @returns {Problem}
 */
function lostSound(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  return {
    code: "lost",
    title: `${whole} second${whole === 1 ? "" : "s"} of sound ${whole === 1 ? "was" : "were"} lost`,
    action: "The connection was away for longer than the 30 seconds kept here.",
    detail: "",
  };
}
