/**
 * A whole file to the server's `/v1/transcribe`, and its captions back as server-sent events.
 */

import { readResult } from "./sdk/results.js";
import { Backoff, systemTimers } from "./sdk/timing.js";
import { keyHeaders, parseObject, readError } from "./sdk/wire.js";
import { readEvents } from "./sse.js";

const JOB_HEADER = "X-Antiphon-Job";
/** Three times what the server lets pass between two signs of life. */
const SILENT_SERVER_MS = 45_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 8_000;
const GIVE_UP_MS = 60_000;

/** @typedef {import("./messages.js").Problem} Problem */

/**
 * @typedef {{type: "accepted"}
 *   | {type: "progress", done: number, total: number | null}
 *   | {type: "result", result: import("./sdk/results.js").Result}} JobEvent `done` and `total` are seconds of audio.
 */

/** The server, or the way to it, failed. */
export class JobError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.message ?? problem.code);
    this.name = "JobError";
    this.problem = problem;
  }
}

/** One file on its way. */
export class FileJob {
  #base;
  #key;
  #tell;
  #timers;
  #backoff;
  #id = "";
  #lastEventId = "";
  #finished = false;
  #cancelled = new AbortController();

  /**
   * @param {object} options
   * @param {string | URL} options.base Address of the server.
   * @param {string} [options.key] Access key; "" for none.
   * @param {(event: JobEvent) => void} options.tell
   * @param {import("./sdk/timing.js").Timers} [options.timers]
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor({ base, key = "", tell, timers = systemTimers, random = Math.random }) {
    this.#base = base;
    this.#key = key;
    this.#tell = tell;
    this.#timers = timers;
    this.#backoff = new Backoff({
      first: BACKOFF_FIRST_MS,
      cap: BACKOFF_CAP_MS,
      giveUp: GIVE_UP_MS,
      random,
    });
  }

  /** Give the job up, here and on the server. */
  cancel() {
    this.#cancelled.abort();
    if (this.#id !== "" && !this.#finished) {
      const address = this.#address("/v1/transcriptions/");
      // Should this fail, the job comes to its end unheard; there is nothing more to do about it here.
      fetch(address, { method: "DELETE", headers: keyHeaders(this.#key), keepalive: true }).catch(() => undefined);
    }
  }

  /**
   * Send the file and tell what comes back, until all of it is transcribed.
   *
   * @param {Blob} file
   * @param {string} language Such as `en-US`.
   * @returns {Promise<"done" | "cancelled">}
   * @throws {JobError}
   */
  async run(file, language) {
    if (file.size === 0) throw new JobError({ code: "empty_file" });
    await checkReadable(file);
    const url = new URL("/v1/transcribe", this.#base);
    url.searchParams.set("language", language);
    /** @type {RequestInit} */
    let request = { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } };
    /** @type {URL} */
    let address = url;
    while (!this.#finished) {
      try {
        await this.#listen(address, request);
        if (this.#finished) break;
      } catch (error) {
        if (this.#cancelled.signal.aborted) return "cancelled";
        if (error instanceof JobError) throw error;
      }
      const delay = this.#id === "" ? null : this.#backoff.failed(this.#timers.now(), 0);
      if (delay === null) throw new JobError({ code: "unreachable" });
      await this.#pause(delay);
      address = this.#address("/v1/transcribe/");
      request = { headers: { Accept: "text/event-stream", "Last-Event-ID": this.#lastEventId || "0" } };
    }
    return this.#cancelled.signal.aborted ? "cancelled" : "done";
  }

  /**
   * Read one answer to its end, or until it is broken off.
   *
   * @param {URL} url
   * @param {RequestInit} request
   */
  async #listen(url, request) {
    const silent = new AbortController();
    let cancelTimer = () => {};
    const heard = () => {
      cancelTimer();
      cancelTimer = this.#timers.after(SILENT_SERVER_MS, () => silent.abort());
    };
    try {
      const signal = AbortSignal.any([this.#cancelled.signal, silent.signal]);
      const headers = { ...request.headers, ...keyHeaders(this.#key) };
      const response = await fetch(url, { ...request, headers, signal });
      if (!response.ok || response.body === null) throw new JobError(await refusal(response));
      this.#id = response.headers.get(JOB_HEADER) ?? this.#id;
      this.#tell({ type: "accepted" });
      heard();
      for await (const event of readEvents(response.body, heard)) {
        this.#backoff.succeeded();
        this.#lastEventId = event.id;
        this.#take(event.type, event.data);
        if (this.#finished) return;
      }
    } finally {
      cancelTimer();
    }
  }

  /**
   * @param {string} type
   * @param {string} data
   */
  #take(type, data) {
    const wire = parseObject(data);
    if (type === "partial" || type === "final") {
      const result = readResult(wire);
      if (result !== null) this.#tell({ type: "result", result });
    } else if (type === "progress") {
      const { done, total } = wire;
      if (typeof done === "number") {
        this.#tell({ type: "progress", done, total: typeof total === "number" ? total : null });
      }
    } else if (type === "done") {
      this.#finished = true;
    } else if (type === "ended") {
      this.#finished = true;
      throw new JobError({ code: "closed" });
    } else if (type === "error") {
      this.#finished = true;
      throw new JobError(readError(wire));
    }
  }

  /** @param {string} above */
  #address(above) {
    return new URL(`${above}${encodeURIComponent(this.#id)}`, this.#base);
  }

  /** @param {number} milliseconds */
  async #pause(milliseconds) {
    const { signal } = this.#cancelled;
    await new Promise((/** @type {(value: void) => void} */ resolve) => {
      const cancelTimer = this.#timers.after(milliseconds, resolve);
      signal.addEventListener("abort", () => {
        cancelTimer();
        resolve();
      });
    });
  }
}

/**
 * A file that was removed or changed since it was chosen makes `fetch` fail as if the server were away.
 *
 * @param {Blob} file
 */
async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new JobError({ code: "unreadable_file" });
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function refusal(response) {
  try {
    return readError(await response.json());
  } catch {
    return { code: `HTTP ${response.status}`, message: `The server answered ${response.status} ${response.statusText}.` };
  }
}
