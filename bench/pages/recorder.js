/** Notes when clicks are rendered, in milliseconds since the epoch, and how often there was nothing at all to hear. */

const THRESHOLD = 0.25;
const APART_MS = 250;

class ClickRecorder extends AudioWorkletProcessor {
  #last = 0;

  process([channels]) {
    const samples = channels[0];
    if (samples === undefined) return true;
    const at = samples.findIndex((sample) => Math.abs(sample) > THRESHOLD);
    if (at < 0) return true;
    const time = Date.now() + (1000 * at) / sampleRate;
    if (time - this.#last > APART_MS) this.port.postMessage(time);
    this.#last = time;
    return true;
  }
}

registerProcessor("bench-recorder", ClickRecorder);
