/**
 * One capture: a tab's sound and, where it is wanted, the microphone's, each a stream of its own in one session of the
 * server, so that every word has its speaker.
 */

import { Monitor } from "./monitor.js";
import { microphoneProblem, problem, tabProblem } from "./problems.js";
import { Voice } from "./voice.js";
import { AudioCapture } from "./web/sdk/audio-capture.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./protocol.js").Last} Last */
/** @typedef {import("./protocol.js").Line} Line */
/** @typedef {import("./protocol.js").Phase} Phase */
/** @typedef {import("./protocol.js").StartOptions} StartOptions */
/** @typedef {import("./protocol.js").Status} Status */
/** @typedef {import("./protocol.js").ToPanel} ToPanel */

const MOST_LINES = 5_000;
/** How many of the oldest go at once, so that it happens seldom. */
const LINES_TO_DROP = 500;
const LEVELS_AT_ONCE = 4;
const OPEN_DEADLINE_MS = 10_000;

/** What the two sides of a capture are called, where both speak. */
const NAMES = { them: "Tab", me: "You" };

/** @type {readonly Side[]} */
const SIDES = ["them", "me"];

/** @typedef {"them" | "me"} Side `them` is the tab. */

export class TabSession {
  #options;
  #tell;
  #over;
  /** @type {Map<Side, Voice>} */
  #voices = new Map();
  /** @type {MediaStream[]} */
  #media = [];
  /** @type {AudioCapture | null} */
  #capture = null;
  /** @type {Monitor | null} */
  #monitor = null;
  /** @type {Phase} */
  #phase = "starting";
  /** @type {number | null} */
  #retryAt = null;
  /** @type {Line[]} */
  #lines = [];
  /** @type {number[]} */
  #levels = [];
  /** Why it ends, where nobody stopped it. @type {Problem | null} */
  #problem = null;
  /** Told and not solved yet. @type {Map<string, Problem>} */
  #passing = new Map();

  /**
   * @param {StartOptions} options
   * @param {object} listeners
   * @param {(message: ToPanel) => void} listeners.tell
   * @param {(last: Last) => void} listeners.over Called once, after the last word.
   */
  constructor(options, { tell, over }) {
    this.#options = options;
    this.#tell = tell;
    this.#over = over;
  }

  /** @returns {Status} */
  get status() {
    const { tab, microphone } = this.#options;
    return { phase: this.#phase, retryAt: this.#retryAt, tab, microphone, playing: this.#monitor?.level ?? 0 };
  }

  /** What a panel has to know that is just opened. @returns {ToPanel[]} */
  snapshot() {
    return [
      { type: "lines", lines: this.#lines },
      { type: "partials", lines: this.#partials },
      { type: "status", status: this.status },
      ...[...this.#passing.values()].map((found) => /** @type {ToPanel} */ ({ type: "problem", problem: found, passing: true })),
    ];
  }

  /**
   * Open what is to be captured, and join the server with it.
   *
   * @returns {Promise<Problem | null>} Why it can't be, and then nothing is open.
   */
  async open() {
    const { streamId, microphone } = this.#options;
    try {
      const tab = await opened(openTab(streamId), tabProblem);
      this.#media.push(tab);
      const self = microphone ? await opened(openMicrophone(), microphoneProblem) : null;
      if (self !== null) this.#media.push(self);
      this.#monitor = await Monitor.open(tab);
      await this.#listen({ them: tab, ...(self === null ? {} : { me: self }) });
      return null;
    } catch (error) {
      await this.#release();
      return isProblem(error) ? error : tabProblem(error);
    }
  }

  /** Have the last words and end; a second call does not wait for them. */
  async stop() {
    await this.#release();
    for (const voice of this.#voices.values()) voice.leave();
  }

  retryNow() {
    for (const voice of this.#voices.values()) voice.retryNow();
  }

  /** @param {{them: MediaStream, me?: MediaStream}} source */
  async #listen(source) {
    const { settings, microphone } = this.#options;
    const capture = new AudioCapture({ source, arrangement: "apart", codec: settings.codec });
    this.#capture = capture;
    // where there is one source only, its frames are of the channel "all"
    capture.on("frame", ({ channel, data }) => this.#voices.get(channel === "me" ? "me" : "them")?.send(data));
    capture.on("level", ({ channel, level }) => channel !== "me" && this.#onLevel(level));
    capture.on("ended", ({ side }) => this.#onGone(side));
    capture.on("error", ({ error }) => {
      this.#problem ??= problem(error.code, error);
      void this.stop();
    });
    await capture.start();
    const session = `tab-${crypto.randomUUID()}`; // both come back to it, should the server forget it
    for (const side of microphone ? SIDES : SIDES.slice(0, 1)) {
      const voice = new Voice({
        name: NAMES[side],
        named: microphone,
        format: capture.format,
        settings,
        tell: (event) => this.#onVoice(side, event),
      });
      this.#voices.set(side, voice);
      voice.join(session);
    }
  }

  /** Let go of the sound. */
  async #release() {
    const [capture, monitor] = [this.#capture, this.#monitor];
    this.#capture = this.#monitor = null;
    await capture?.stop(); // which hands over the last frame
    await monitor?.close();
    for (const media of this.#media) for (const track of media.getTracks()) track.stop();
  }

  /**
   * @param {Side} side
   * @param {import("./voice.js").VoiceEvent} event
   */
  #onVoice(side, event) {
    switch (event.type) {
      case "final":
        return this.#onFinal(event.line);
      case "partials":
        return this.#tell({ type: "partials", lines: this.#partials });
      case "problem":
        return this.#onProblem(event.problem);
      case "state":
        return event.state.phase === "ended" ? this.#onEnded(side, event.problem) : this.#onState(side, event.state);
    }
  }

  /** @param {number} level */
  #onLevel(level) {
    this.#levels.push(level);
    if (this.#levels.length < LEVELS_AT_ONCE) return;
    this.#tell({ type: "levels", levels: this.#levels });
    this.#levels = [];
  }

  /** @param {Line} line */
  #onFinal(line) {
    let place = this.#lines.length;
    while (place > 0 && /** @type {Line} */ (this.#lines[place - 1]).start > line.start) place--;
    const newest = place === this.#lines.length;
    this.#lines.splice(place, 0, line);
    const many = this.#lines.length > MOST_LINES;
    if (many) this.#lines.splice(0, LINES_TO_DROP);
    this.#tell(newest && !many ? { type: "final", line } : { type: "lines", lines: this.#lines });
  }

  get #partials() {
    return [...this.#voices.values()].flatMap((voice) => voice.partials);
  }

  /** @param {Problem} found Goes on nevertheless. */
  #onProblem(found) {
    this.#passing.set(found.code, found);
    this.#tell({ type: "problem", problem: found, passing: true });
  }

  /** A source has ceased. @param {Side} side */
  #onGone(side) {
    if (side === "them") {
      this.#problem ??= problem("tab_gone");
      void this.stop();
    } else {
      this.#onProblem(problem("microphone_gone"));
      this.#voices.get("me")?.leave();
    }
  }

  /**
   * @param {Side} side
   * @param {import("./voice.js").StreamState} state
   */
  #onState(side, state) {
    if (side !== "them" || state.phase === "idle" || state.phase === "ended") return;
    this.#phase = state.phase;
    const retryAt = "retryAt" in state ? state.retryAt : null;
    this.#retryAt = retryAt === null ? null : Date.now() + retryAt - performance.now();
    this.#tell({ type: "status", status: this.status });
  }

  /**
   * @param {Side} side
   * @param {Problem | null} found
   */
  #onEnded(side, found) {
    this.#voices.delete(side);
    if (side === "me" && this.#voices.size > 0) {
      if (found !== null) this.#onProblem(problem("microphone_unheard", { message: found.title }));
      return;
    }
    this.#problem ??= found;
    if (this.#voices.size > 0) {
      void this.stop(); // without the tab there is nothing to wait for but the last words
      return;
    }
    this.#phase = "ended";
    this.#tell({ type: "status", status: this.status });
    void this.#release().then(() => {
      this.#over({ tab: this.#options.tab, lines: this.#lines, problem: this.#problem });
    });
  }
}

/**
 * @param {Promise<MediaStream>} opening
 * @param {(error: unknown) => Problem} describe
 * @returns {Promise<MediaStream>} Rejects with a problem; also where the browser asks somebody who can't see the question.
 */
function opened(opening, describe) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(describe(new DOMException("nobody answered", "NotAllowedError")));
      const release = (/** @type {MediaStream} */ media) => media.getTracks().forEach((track) => track.stop());
      opening.then(release, () => undefined);
    }, OPEN_DEADLINE_MS);
    opening.then(resolve, (error) => reject(describe(error))).finally(() => clearTimeout(late));
  });
}

/** @param {string} streamId Of `chrome.tabCapture`. */
function openTab(streamId) {
  const audio = /** @type {MediaTrackConstraints} */ ({
    mandatory: { chromeMediaSource: "tab", chromeMediaSourceId: streamId }, // Chrome's own, and in no standard
  });
  return navigator.mediaDevices.getUserMedia({ audio, video: false });
}

function openMicrophone() {
  return navigator.mediaDevices.getUserMedia({
    audio: {
      echoCancellation: true, // what the tab plays comes out of the loudspeakers, and is captioned already
      noiseSuppression: false, // it distorts what a recogniser hears
      autoGainControl: true,
      channelCount: { ideal: 1 },
    },
  });
}

/** @param {unknown} error @returns {error is Problem} */
function isProblem(error) {
  return typeof error === "object" && error !== null && "code" in error && "title" in error;
}
