/**
 * One capture: a tab's sound and, where it is wanted, the microphone's, each a stream of its own in one session of the
 * server, so that every word has its speaker.
 */

import { Monitor } from "./monitor.js";
import { microphoneProblem, problem, tabProblem } from "./problems.js";
import { Voice } from "./voice.js";

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

/** What the tab and who sits before it are called, where both speak. */
const TAB = "Tab";
const SELF = "You";

export class TabSession {
  #options;
  #tell;
  #over;
  /** @type {Map<string, Voice>} */
  #voices = new Map();
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
    /** @type {MediaStream[]} */
    const opened = [];
    try {
      const tab = await openTab(streamId).catch((error) => Promise.reject(tabProblem(error)));
      opened.push(tab);
      if (microphone) opened.push(await openMicrophone().catch((error) => Promise.reject(microphoneProblem(error))));
      this.#monitor = await Monitor.open(tab);
      const session = `tab-${crypto.randomUUID()}`; // both come back to it, should the server forget it
      for (const [i, media] of opened.entries()) await this.#listen(i === 0 ? TAB : SELF, media, session);
      return null;
    } catch (error) {
      await this.#release();
      for (const media of opened) for (const track of media.getTracks()) track.stop();
      return isProblem(error) ? error : tabProblem(error);
    }
  }

  /** Have the last words and end; a second call does not wait for them. */
  async stop() {
    await this.#monitor?.close();
    this.#monitor = null;
    await Promise.all([...this.#voices.values()].map((voice) => voice.stop()));
  }

  retryNow() {
    for (const voice of this.#voices.values()) voice.retryNow();
  }

  /**
   * @param {string} name
   * @param {MediaStream} media
   * @param {string} session
   */
  async #listen(name, media, session) {
    const { settings, microphone: named } = this.#options;
    const voice = new Voice({ name, named, session, settings, tell: (event) => this.#onVoice(name, event) });
    this.#voices.set(name, voice);
    await voice.open(media);
  }

  /**
   * @param {string} name
   * @param {import("./voice.js").VoiceEvent} event
   */
  #onVoice(name, event) {
    if (!this.#voices.has(name)) return;
    switch (event.type) {
      case "level":
        return name === TAB ? this.#onLevel(event.level) : undefined;
      case "final":
        return this.#onFinal(event.line);
      case "partials":
        return this.#tell({ type: "partials", lines: this.#partials });
      case "problem":
        return this.#onProblem(event.problem);
      case "gone":
        return this.#onGone(name);
      case "state":
        return event.state.phase === "ended" ? this.#onEnded(name, event.problem) : this.#onState(name, event.state);
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

  /** The source has ceased. @param {string} name */
  #onGone(name) {
    if (name === TAB) {
      this.#problem ??= problem("tab_gone");
      void this.stop();
    } else {
      this.#onProblem(problem("microphone_gone"));
      void this.#voices.get(name)?.stop();
    }
  }

  /**
   * @param {string} name
   * @param {import("./voice.js").StreamState} state
   */
  #onState(name, state) {
    if (name !== TAB || state.phase === "idle") return;
    this.#phase = state.phase;
    const retryAt = "retryAt" in state ? state.retryAt : null;
    this.#retryAt = retryAt === null ? null : Date.now() + retryAt - performance.now();
    this.#tell({ type: "status", status: this.status });
  }

  /**
   * @param {string} name
   * @param {Problem | null} found
   */
  #onEnded(name, found) {
    this.#voices.delete(name);
    if (name !== TAB && this.#voices.size > 0) {
      if (found !== null) this.#onProblem(found);
      return;
    }
    this.#problem ??= found;
    if (name === TAB) void this.stop(); // which ends the others
    if (this.#voices.size > 0) return;
    this.#phase = "ended";
    this.#tell({ type: "status", status: this.status });
    this.#over({ tab: this.#options.tab, lines: this.#lines, problem: this.#problem });
  }

  async #release() {
    await this.#monitor?.close();
    this.#monitor = null;
    const voices = [...this.#voices.values()];
    this.#voices.clear();
    await Promise.all(voices.map((voice) => voice.abandon()));
  }
}

/** @param {string} streamId Of `chrome.tabCapture`. */
function openTab(streamId) {
  const audio = /** @type {MediaTrackConstraints} */ ({
    mandatory: { chromeMediaSource: "tab", chromeMediaSourceId: streamId }, // Chrome's own, and in no standard
  });
  return navigator.mediaDevices.getUserMedia({ audio, video: false });
}

function openMicrophone() {
  // what the tab plays comes out of the loudspeakers, and is captioned already
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: { ideal: 1 } },
  });
}

/** @param {unknown} error @returns {error is Problem} */
function isProblem(error) {
  return typeof error === "object" && error !== null && "code" in error && "title" in error;
}
