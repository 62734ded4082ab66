/** Keeps all samples that come in, until it is asked for them. */

class Recorder extends AudioWorkletProcessor {
  /** @type {Float32Array[]} */
  #blocks = [];
  #running = true;

  constructor() {
    super();
    this.port.onmessage = () => {
      const sound = new Float32Array(128 * this.#blocks.length);
      this.#blocks.forEach((block, number) => sound.set(block, 128 * number));
      this.port.postMessage(sound, [sound.buffer]);
    };
  }

  process([channels]) {
    this.#blocks.push(channels[0]?.slice() ?? new Float32Array(128));
    return this.#running;
  }
}

registerProcessor("test-recorder", Recorder);
