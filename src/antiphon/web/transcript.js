/**
 * The transcript that is shown: finals for good, partials until they are replaced.
 */

/** @typedef {import("./sdk/results.js").Result} Result */
/** @typedef {import("./sdk/results.js").Word} Word */

/**
 * @typedef {object} Line One utterance on the transcript's own timeline.
 * @property {string} key Unlike any other of this transcript.
 * @property {string} text
 * @property {number} start Seconds.
 * @property {number} end Seconds.
 * @property {string} language
 * @property {string | null} speaker
 * @property {Word[]} words
 */

/** Finals in the order they were spoken, and the partials that are open. */
export class Transcript {
  /** @type {Line[]} */
  lines = [];
  /** @type {Map<string, Line>} */
  partials = new Map();
  #take = 0;
  #offset = 0;
  /** @type {Set<string>} */
  #finished = new Set();

  /** Where the last utterance ends, in seconds; 0 for an empty transcript. */
  get end() {
    let end = 0;
    for (const line of this.lines) end = Math.max(end, line.end);
    for (const line of this.partials.values()) end = Math.max(end, line.end);
    return end;
  }

  get isEmpty() {
    return this.lines.length === 0;
  }

  /**
   * From here on results come from another stream.
   *
   * @param {number} offset Where the beginning of that stream lies on this transcript's timeline, in seconds.
   */
  beginTake(offset) {
    this.#take++;
    this.#offset = offset;
    this.partials.clear();
  }

  /**
   * @param {Result} result
   * @returns {"partial" | "final" | "none"} What changed; a result that was final already changes nothing.
   */
  apply(result) {
    const key = `${this.#take}/${result.resultId}`;
    if (this.#finished.has(key)) return "none";
    const line = this.#line(key, result);
    if (result.isPartial) {
      this.partials.set(key, line);
      return "partial";
    }
    this.#finished.add(key);
    const open = this.partials.delete(key);
    if (line.text === "") return open ? "partial" : "none";
    let place = this.lines.length;
    while (place > 0 && /** @type {Line} */ (this.lines[place - 1]).start > line.start) place--;
    this.lines.splice(place, 0, line);
    return "final";
  }

  clear() {
    this.lines = [];
    this.partials.clear();
    this.#finished.clear();
  }

  /** @param {readonly Line[]} lines Of this transcript, cleared before. */
  restore(lines) {
    this.lines = [...lines, ...this.lines];
  }

  /**
   * @param {string} key
   * @param {Result} result
   * @returns {Line}
   */
  #line(key, result) {
    const at = (/** @type {number} */ seconds) => Math.round((seconds + this.#offset) * 1000) / 1000;
    return {
      key,
      text: result.text,
      start: at(result.start),
      end: at(result.end),
      language: result.language,
      speaker: result.speaker,
      words: result.words.map((word) => ({ ...word, start: at(word.start), end: at(word.end) })),
    };
  }
}
