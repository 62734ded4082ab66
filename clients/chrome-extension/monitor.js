/**
 * Plays the captured tab: Chrome takes away a tab's sound from the loudspeakers while it is captured.
 */

const WINDOW_SAMPLES = 2048;

export class Monitor {
  #context;
  #analyser;
  #window = new Float32Array(WINDOW_SAMPLES);

  /**
   * @param {AudioContext} context
   * @param {AnalyserNode} analyser
   */
  constructor(context, analyser) {
    this.#context = context;
    this.#analyser = analyser;
  }

  /** @param {MediaStream} media */
  static async open(media) {
    const context = new AudioContext({ latencyHint: "interactive" }); // at the device's rate: for ears, not for a recogniser
    const source = context.createMediaStreamSource(media);
    const analyser = context.createAnalyser();
    analyser.fftSize = WINDOW_SAMPLES;
    source.connect(analyser).connect(context.destination);
    context.onstatechange = () => {
      if (context.state !== "running" && context.state !== "closed") void context.resume();
    };
    await context.resume();
    return new Monitor(context, analyser);
  }

  /** Root mean square of what was played last, 0 to 1; 0 while nothing is. */
  get level() {
    if (this.#context.state !== "running") return 0;
    this.#analyser.getFloatTimeDomainData(this.#window);
    let power = 0;
    for (const sample of this.#window) power += sample * sample;
    return Math.sqrt(power / this.#window.length);
  }

  async close() {
    if (this.#context.state !== "closed") await this.#context.close();
  }
}
