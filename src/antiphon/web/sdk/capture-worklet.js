/**
 * The part of capture that runs on the audio thread: frames of 16-bit PCM out of whatever the source gives.
 */

import { Framer, downmix, interleave } from "./framer.js";
import { Resampler } from "./resample.js";

/**
 * @typedef {object} WorkletOptions
 * @property {number} sampleRate Rate of the frames, in hertz.
 * @property {number} frameSamples Samples of a frame, of one channel.
 * @property {1 | 2} channels Of the frames: one is the mean of all that come, two are interleaved.
 */

/** Samples of a render quantum (Web Audio, section 1.1). */
const QUANTUM = 128;

class CaptureProcessor extends AudioWorkletProcessor {
  #framer;
  /** @type {(Resampler | null)[]} */
  #resamplers;
  #silence = new Float32Array(QUANTUM);
  #running = true;

  /** @param {{processorOptions: WorkletOptions}} options */
  constructor({ processorOptions }) {
    super();
    const { sampleRate: wanted, frameSamples, channels } = processorOptions;
    const resampler = () => (sampleRate === wanted ? null : new Resampler(sampleRate, wanted));
    this.#resamplers = Array.from({ length: channels }, resampler);
    this.#framer = new Framer(frameSamples * channels, ({ samples, level }) => {
      this.port.postMessage({ samples, level }, [samples.buffer]);
    });
    this.port.onmessage = () => {
      this.#running = false;
      this.#framer.finish();
      this.port.postMessage(null);
    };
  }

  /**
   * @param {Float32Array[][]} inputs
   * @returns {boolean} Whether the processor is still needed.
   */
  process(inputs) {
    if (!this.#running) return false;
    // a source that has nothing to give is silent: time goes on for it as for the others
    const given = inputs[0]?.length ? inputs[0] : [this.#silence];
    const channels = this.#resamplers.length === 1 ? [downmix(given)] : this.#resamplers.map((_, i) => given[i] ?? this.#silence);
    const converted = channels.map((samples, i) => this.#resamplers[i]?.process(samples) ?? samples);
    this.#framer.push(interleave(converted));
    return true;
  }
}

registerProcessor("antiphon-capture", CaptureProcessor);
