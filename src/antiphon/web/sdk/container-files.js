/**
 * A stream into whole files by MediaRecorder: each recorder begins before the one before it ends, so that nothing is missing
 * and some milliseconds are in two files.
 */

import { RtcError } from "./errors.js";

const FORMATS = [
  { format: "webm", mimeType: "audio/webm;codecs=opus" },
  { format: "ogg", mimeType: "audio/ogg;codecs=opus" },
  { format: "mp4", mimeType: "audio/mp4" },
];
const STOP_MS = 2_000;

/**
 * @typedef {object} ContainerFile
 * @property {Uint8Array} file
 * @property {string} format
 * @property {number} start Seconds into the stream.
 * @property {number} duration Seconds.
 */

export class ContainerFiles {
  #stream;
  #options;
  #emit;
  /** @type {{recorder: MediaRecorder, start: number} | null} */
  #current = null;
  /** Files are handed over in order, however long each takes to read. */
  #reading = Promise.resolve();
  #seconds = 0;

  /**
   * @param {MediaStream} stream
   * @param {{seconds: number, bitrate: number}} options
   * @param {(file: ContainerFile) => void} emit
   * @throws {RtcError} This browser can't.
   */
  constructor(stream, options, emit) {
    this.#stream = stream;
    this.#options = options;
    this.#emit = emit;
    this.#begin();
  }

  /** So much of the stream has passed: recorders are changed by its own time, which no timer of a hidden tab delays. @param {number} seconds */
  pass(seconds) {
    this.#seconds += seconds;
    const current = this.#current;
    if (current !== null && this.#seconds - current.start >= this.#options.seconds) this.#begin();
  }

  /** Nothing more comes: what was recorded since the last change is a file too. */
  async finish() {
    const current = this.#current;
    this.#current = null;
    if (current !== null) this.#end(current);
    await this.#reading;
  }

  #begin() {
    const kind = FORMATS.find(({ mimeType }) => globalThis.MediaRecorder?.isTypeSupported(mimeType));
    if (kind === undefined) throw new RtcError("no_encoder");
    const before = this.#current;
    const recorder = new MediaRecorder(this.#stream, {
      mimeType: kind.mimeType,
      audioBitsPerSecond: this.#options.bitrate,
    });
    this.#current = { recorder, start: this.#seconds };
    // it records from then on
    if (before !== null) recorder.onstart = () => this.#end(before);
    recorder.start();
  }

  /** @param {{recorder: MediaRecorder, start: number}} ended */
  #end({ recorder, start }) {
    const duration = this.#seconds - start;
    const format = FORMATS.find(({ mimeType }) => recorder.mimeType.startsWith(mimeType.split(";", 1)[0] ?? ""))?.format;
    /** @type {Promise<Blob | null>} */
    const recorded = new Promise((resolve) => {
      recorder.ondataavailable = ({ data }) => resolve(data);
      setTimeout(() => resolve(null), STOP_MS);
    });
    if (recorder.state !== "inactive") recorder.stop();
    this.#reading = this.#reading.then(async () => {
      const blob = await recorded;
      if (blob === null || blob.size === 0) return;
      this.#emit({ file: new Uint8Array(await blob.arrayBuffer()), format: format ?? "webm", start, duration });
    });
  }
}
