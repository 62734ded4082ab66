/**
 * Server-sent events out of a streamed body (WHATWG HTML, section 9.2.6).
 */

/**
 * @typedef {object} ServerEvent
 * @property {string} type
 * @property {string} data
 * @property {string} id The last id seen in the stream, "" for none.
 */

const MAX_EVENT_CHARACTERS = 8 * 1024 * 1024;

/** Turns text, however it is cut up, into events. */
export class EventStreamParser {
  #text = "";
  #type = "";
  /** @type {string[]} */
  #data = [];
  #size = 0;
  #id = "";
  #atStart = true;
  #afterReturn = false;

  /**
   * @param {string} text The next piece of the stream.
   * @returns {ServerEvent[]} The events that it completes.
   * @throws {RangeError} One event has more than 8 million characters.
   */
  push(text) {
    /** @type {ServerEvent[]} */
    const events = [];
    if (this.#atStart && text !== "") {
      this.#atStart = false;
      text = text.replace(/^\uFEFF/, "");
    }
    if (this.#afterReturn && text !== "") {
      this.#afterReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    this.#text += text;
    const lines = this.#text.split(/\r\n|\n|\r/);
    this.#afterReturn = this.#text.endsWith("\r");
    this.#text = lines.pop() ?? "";
    for (const line of lines) this.#line(line, events);
    if (this.#size + this.#text.length > MAX_EVENT_CHARACTERS) {
      throw new RangeError(`the server sent an event of more than ${MAX_EVENT_CHARACTERS} characters`);
    }
    return events;
  }

  /**
   * @param {string} line
   * @param {ServerEvent[]} events
   */
  #line(line, events) {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push({ type: this.#type || "message", data: this.#data.join("\n"), id: this.#id });
      }
      this.#type = "";
      this.#data = [];
      this.#size = 0;
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "data") {
      this.#data.push(value);
      this.#size += value.length;
    }
  }
}

/**
 * Read a body as events.
 *
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @param {() => void} [heard] Called for whatever arrives, comments that keep the connection alive among it.
 * @returns {AsyncGenerator<ServerEvent, void, void>}
 */
export async function* readEvents(body, heard = () => undefined) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventStreamParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      yield* parser.push(value);
    }
  } finally {
    await reader.cancel().catch(() => undefined); // the body may have failed already, which the caller was told
  }
}
