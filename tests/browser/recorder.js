/** Keeps all samples that come in, and how long it was not called; it is asked for both. */

class Recorder extends AudioWorkletProcessor {
  /** @type {Float32Array[]} */
  #blocks = [];
  #running = true;
  #called = Date.now();
  /** Milliseconds. */
  #longest = 0;

  constructor() {
    super();
    this.port.onmessage = () => {
      const sound = new Float32Array(128 * this.#blocks.length);
      this.#blocks.forEach((block, number) => sound.set(block, 128 * number));
      this.port.postMessage({ sound, longest: this.#longest }, [sound.buffer]);
    };
  }

  process([channels]) {
    const now = Date.now();
    this.#longest = Math.max(this.#longest, now - this.#called);
    this.#called = now;
    this.#blocks.push(channels[0]?.slice() ?? new Float32Array(128));
    return this.#running;
  }
}

registerProcessor("test-recorder", Recorder);
