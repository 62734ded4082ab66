/**
 * The part of capture that runs on the audio thread: one mono stream of 16-bit frames out of whatever the source gives.
 */

import { Framer, downmix } from "./framer.js";
import { Resampler } from "./resample.js";

/**
 * @typedef {object} CaptureOptions
 * @property {number} sampleRate Rate of the frames, in hertz.
 * @property {number} frameSamples Samples of a frame.
 */

class CaptureProcessor extends AudioWorkletProcessor {
  #framer;
  #resampler;
  #running = true;

  /** @param {{processorOptions: CaptureOptions}} options */
  constructor({ processorOptions }) {
    super();
    const { sampleRate: wanted, frameSamples } = processorOptions;
    this.#resampler = sampleRate === wanted ? null : new Resampler(sampleRate, wanted);
    this.#framer = new Framer(frameSamples, ({ samples, level }) => {
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
    const channels = inputs[0];
    if (this.#running && channels !== undefined && channels.length > 0) {
      const mono = downmix(channels);
      this.#framer.push(this.#resampler === null ? mono : this.#resampler.process(mono));
    }
    return this.#running;
  }
}

registerProcessor("antiphon-capture", CaptureProcessor);
