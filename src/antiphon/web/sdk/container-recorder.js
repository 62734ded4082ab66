/**
 * A stream to the bytes of a container, by MediaRecorder.
 */

import { RtcError } from "./errors.js";

const CHUNK_MS = 250;

const CONTAINERS = [
  { codec: /** @type {const} */ ("webm"), mimeType: "audio/webm;codecs=opus" },
  { codec: /** @type {const} */ ("ogg"), mimeType: "audio/ogg;codecs=opus" },
];

/** What MediaRecorder can write here that a server can read while it comes. */
export function chooseContainer() {
  if (typeof MediaRecorder === "undefined") return undefined;
  return CONTAINERS.find(({ mimeType }) => MediaRecorder.isTypeSupported(mimeType));
}

/**
 * @param {"webm" | "ogg"} codec
 * @param {number} channels
 * @returns {import("./audio-format.js").AudioFormat}
 */
export const containerFormat = (codec, channels) => ({ codec, sampleRate: 48_000, channels, frameMs: CHUNK_MS });

export class ContainerRecorder {
  #recorder;
  /** Chunks are read one after the other. */
  #reading = Promise.resolve();

  /**
   * @param {MediaStream} stream
   * @param {number} bitrate Bits a second.
   * @param {(bytes: Uint8Array) => void} give Is given the bytes in order, cut anywhere.
   * @param {(error: RtcError) => void} fail
   * @throws {RtcError} This browser can't.
   */
  constructor(stream, bitrate, give, fail) {
    const container = chooseContainer();
    if (container === undefined) throw new RtcError("no_encoder");
    const { mimeType } = container;
    this.#recorder = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: bitrate });
    this.#recorder.ondataavailable = ({ data }) => {
      this.#reading = this.#reading.then(async () => give(new Uint8Array(await data.arrayBuffer())));
    };
    this.#recorder.onerror = () => fail(new RtcError("capture_failed"));
    this.#recorder.start(CHUNK_MS);
  }

  /** Give out what is left. */
  async close() {
    if (this.#recorder.state !== "inactive") {
      /** @type {Promise<void>} */
      const stopped = new Promise((resolve) => {
        this.#recorder.onstop = () => resolve();
      });
      this.#recorder.stop();
      await stopped;
    }
    await this.#reading;
  }
}
