/**
 * Frames of PCM to Opus packets, by WebCodecs. The browser encodes on a thread of its own.
 */

import { RtcError } from "./errors.js";

/** Frames that may wait for the encoder; beyond it frames are dropped, and counted. */
const MOST_WAITING = 50;

/** What libopus looks ahead at 48 kHz: 6.5 ms. */
const LIBOPUS_PRE_SKIP = 312;

/**
 * @typedef {object} OpusOptions
 * @property {number} sampleRate Hertz.
 * @property {number} channels
 * @property {number} frameMs 2.5 to 60.
 * @property {number} bitrate Bits a second.
 */

/** @param {OpusOptions} options @returns {AudioEncoderConfig} */
function configuration({ sampleRate, channels, frameMs, bitrate }) {
  const opus = { frameDuration: 1000 * frameMs, application: "voip", signal: "voice" };
  return /** @type {AudioEncoderConfig} */ ({ codec: "opus", sampleRate, numberOfChannels: channels, bitrate, opus });
}

/** @param {OpusOptions} options @returns {Promise<boolean>} Whether this browser can. */
export async function canEncodeOpus(options) {
  if (typeof AudioEncoder === "undefined") return false;
  try {
    return (await AudioEncoder.isConfigSupported(configuration(options))).supported === true;
  } catch {
    return false; // it does not know what it was asked
  }
}

export class OpusEncoder {
  #options;
  #emit;
  #fail;
  #encoder;
  #frames = 0;

  /** Frames that the encoder was too slow for. */
  dropped = 0;
  /** Samples at 48 kHz by which what is decoded lags behind what was encoded (RFC 7845, section 4.2). */
  preSkip = LIBOPUS_PRE_SKIP;

  /**
   * @param {OpusOptions} options
   * @param {(packet: Uint8Array<ArrayBuffer>) => void} emit
   * @param {(error: RtcError) => void} fail
   */
  constructor(options, emit, fail) {
    this.#options = options;
    this.#emit = emit;
    this.#fail = fail;
    this.#encoder = new AudioEncoder({
      output: (chunk, metadata) => this.#take(chunk, metadata),
      error: (error) => this.#fail(RtcError.because("no_encoder", error)),
    });
    this.#encoder.configure(configuration(options));
  }

  /** @param {Int16Array} samples One frame. */
  encode(samples) {
    if (this.#encoder.state !== "configured") return;
    const { sampleRate, channels, frameMs } = this.#options;
    const timestamp = 1000 * frameMs * this.#frames++;
    if (this.#encoder.encodeQueueSize >= MOST_WAITING) {
      this.dropped++;
      return;
    }
    const data = new AudioData({
      format: "s16",
      sampleRate,
      numberOfFrames: samples.length / channels,
      numberOfChannels: channels,
      timestamp,
      data: /** @type {Int16Array<ArrayBuffer>} */ (samples),
    });
    this.#encoder.encode(data);
    data.close();
  }

  /** @param {number} bitrate Bits a second. */
  setBitrate(bitrate) {
    this.#options = { ...this.#options, bitrate };
    if (this.#encoder.state === "configured") this.#encoder.configure(configuration(this.#options));
  }

  /** Give out what is left, and a packet of silence, in which the end of the last frame is. */
  async close() {
    if (this.#encoder.state !== "configured") return;
    const { sampleRate, channels, frameMs } = this.#options;
    this.encode(new Int16Array((channels * sampleRate * frameMs) / 1000));
    try {
      await this.#encoder.flush();
    } catch {
      return; // it has failed, and said so
    }
    if (this.#encoder.state === "configured") this.#encoder.close();
  }

  /**
   * @param {EncodedAudioChunk} chunk
   * @param {EncodedAudioChunkMetadata} [metadata]
   */
  #take(chunk, metadata) {
    const head = metadata?.decoderConfig?.description;
    if (head !== undefined) this.preSkip = preSkipOf(head) ?? this.preSkip;
    const packet = new Uint8Array(chunk.byteLength);
    chunk.copyTo(packet);
    this.#emit(packet);
  }
}

/**
 * @param {AllowSharedBufferSource} head Of a stream, as a container has it (RFC 7845, section 5.1).
 * @returns {number | null}
 */
function preSkipOf(head) {
  const view = ArrayBuffer.isView(head)
    ? new DataView(head.buffer, head.byteOffset, head.byteLength)
    : new DataView(head);
  return view.byteLength >= 12 ? view.getUint16(10, true) : null;
}
