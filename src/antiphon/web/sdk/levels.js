/**
 * How loud a sound is, and whether somebody speaks.
 */

const SPEAKING_LEVEL = 0.01; // root mean square of full scale: −40 dB
const SPEAKING_LOOKS = 2;
const SILENT_MS = 600;

/** Tells by levels alone who speaks: where no server listens and says it. */
export class SpeakingDetector {
  #loud = 0;
  #heardAt = -Infinity;

  /**
   * @param {number} level 0 to 1.
   * @param {number} now Milliseconds.
   * @returns {boolean}
   */
  look(level, now) {
    this.#loud = level >= SPEAKING_LEVEL ? this.#loud + 1 : 0;
    if (this.#loud >= SPEAKING_LOOKS) this.#heardAt = now;
    return now - this.#heardAt < SILENT_MS;
  }
}

/**
 * The newest level that a receiver heard (WebRTC 1.0, section 5.3; RFC 6464 where the sender says it itself).
 *
 * @param {RTCRtpReceiver} receiver
 * @returns {number} 0 to 1; 0 where nothing has come for a while.
 */
export function receiverLevel(receiver) {
  if (typeof receiver.getSynchronizationSources !== "function") return 0;
  const now = performance.timeOrigin + performance.now();
  let level = 0;
  for (const { audioLevel, timestamp } of receiver.getSynchronizationSources()) {
    if (audioLevel !== undefined && now - timestamp < 500) level = Math.max(level, audioLevel);
  }
  return level;
}

/** The level of a stream that is at hand, such as a microphone's. */
export class StreamLevel {
  #context;
  #analyser;
  #source;
  #samples;

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.#context = new AudioContext({ latencyHint: "interactive" });
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** Root mean square of the last 21 ms at 48 kHz, 0 to 1. */
  get level() {
    if (this.#context.state === "suspended") void this.#context.resume();
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.sqrt(sum / this.#samples.length);
  }

  close() {
    this.#source.disconnect();
    void this.#context.close();
  }
}
