/**
 * Frames of PCM to Opus packets, by WebCodecs. The browser encodes on a thread of its own.
 */

import { OPUS_PRE_ROLL_MS } from "./audio-format.js";
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

/** One encoder of the browser's, which gives a packet for each frame and nothing beyond. */
class Run {
  #options;
  #encoder;
  #emit;
  /** Frames that are encoded for what follows them alone: their packets are dropped. */
  #warming = 0;
  #given = 0;
  #came = 0;

  /**
   * @param {OpusOptions} options
   * @param {(packet: Uint8Array<ArrayBuffer>, metadata: EncodedAudioChunkMetadata | undefined) => void} emit
   * @param {(error: RtcError) => void} fail
   */
  constructor(options, emit, fail) {
    this.#options = options;
    this.#emit = emit;
    this.#encoder = new AudioEncoder({
      output: (chunk, metadata) => this.#take(chunk, metadata),
      error: (error) => fail(RtcError.because("no_encoder", error)),
    });
    this.#encoder.configure(configuration(options));
  }

  get waiting() {
    return this.#encoder.encodeQueueSize;
  }

  /** @param {Int16Array} samples One frame. */
  encode(samples) {
    if (this.#encoder.state !== "configured") return;
    const { sampleRate, channels, frameMs } = this.#options;
    const data = new AudioData({
      format: "s16",
      sampleRate,
      numberOfFrames: samples.length / channels,
      numberOfChannels: channels,
      timestamp: 1000 * frameMs * this.#given++,
      data: /** @type {Int16Array<ArrayBuffer>} */ (samples),
    });
    this.#encoder.encode(data);
    data.close();
  }

  /** What was before, so that the first packet is as if it had been encoded all along. @param {readonly Int16Array[]} frames */
  warmUp(frames) {
    this.#warming = frames.length;
    for (const frame of frames) this.encode(frame);
  }

  /** Give out what is left. */
  async close() {
    if (this.#encoder.state !== "configured") return;
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
    const index = this.#came++;
    // flushing adds packets of what is after the last frame
    if (index < this.#warming || index >= this.#given) return;
    const packet = new Uint8Array(chunk.byteLength);
    chunk.copyTo(packet);
    this.#emit(packet, metadata);
  }
}

export class OpusEncoder {
  #options;
  #emit;
  #fail;
  #run;
  /** The last frames, of the time that a new encoder needs to come to the same. @type {Int16Array[]} */
  #recent = [];
  /** Encoders that are being emptied; what a later one gives waits for them. */
  #emptying = Promise.resolve();

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
    this.#run = this.#begin(null);
  }

  /** @param {Int16Array} samples One frame, which is kept for a while. */
  encode(samples) {
    if (this.#run.waiting >= MOST_WAITING) {
      this.dropped++;
      return;
    }
    this.#run.encode(samples);
    this.#recent.push(samples);
    if (this.#recent.length > Math.ceil(OPUS_PRE_ROLL_MS / this.#options.frameMs)) this.#recent.shift();
  }

  /**
   * Another encoder goes on: one that is configured anew begins with a hole of some milliseconds.
   *
   * @param {number} bitrate Bits a second.
   */
  setBitrate(bitrate) {
    if (bitrate === this.#options.bitrate) return;
    this.#options = { ...this.#options, bitrate };
    const before = this.#run;
    this.#run = this.#begin(this.#emptying.then(() => before.close()));
    this.#run.warmUp(this.#recent);
  }

  /** Give out what is left, and a packet of silence, in which the end of the last frame is. */
  async close() {
    const { sampleRate, channels, frameMs } = this.#options;
    this.#run.encode(new Int16Array((channels * sampleRate * frameMs) / 1000));
    await this.#emptying;
    await this.#run.close();
  }

  /** @param {Promise<void> | null} emptying The encoder before it. */
  #begin(emptying) {
    /** @type {Uint8Array<ArrayBuffer>[] | null} */
    let early = emptying === null ? null : [];
    if (emptying !== null) {
      this.#emptying = emptying.then(() => {
        for (const packet of early ?? []) this.#emit(packet);
        early = null;
      });
    }
    return new Run(
      this.#options,
      (packet, metadata) => {
        const head = metadata?.decoderConfig?.description;
        if (head !== undefined) this.preSkip = preSkipOf(head) ?? this.preSkip;
        if (early === null) this.#emit(packet);
        else early.push(packet);
      },
      this.#fail,
    );
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
