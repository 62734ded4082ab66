/** What the audio thread's global scope offers (Web Audio API, section 1.32); TypeScript's DOM library leaves it out. */

declare const sampleRate: number;

/** Samples since the context began, at the start of the quantum that is being rendered. */
declare const currentFrame: number;

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

declare function registerProcessor(name: string, processor: new (options: never) => AudioWorkletProcessor): void;
