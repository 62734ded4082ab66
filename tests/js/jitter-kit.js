/** A sender, a network and a loudspeaker in virtual time, with a jitter buffer between them. */

import { JitterBuffer } from "../../src/antiphon/web/sdk/player/jitter-buffer.js";

export const RATE = 48_000;
const QUANTUM = 128;

/** @typedef {import("../../src/antiphon/web/sdk/player/events.js").BufferStats} BufferStats */

/** The same numbers each time (mulberry32). @param {number} seed */
export function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {number} hertz @param {number} [level] */
export const sine =
  (hertz, level = 0.5) =>
  (/** @type {number} */ i) =>
    level * Math.sin((2 * Math.PI * hertz * i) / RATE);

/** A voice: a pitch that wanders, with harmonics. @param {number} i */
export function voice(i) {
  const seconds = i / RATE;
  const phase = 2 * Math.PI * (140 * seconds + 8 * Math.sin(2 * Math.PI * 0.7 * seconds));
  let sum = 0;
  for (let n = 1; n <= 8; n++) sum += Math.sin(n * phase) / n;
  return 0.15 * sum;
}

/**
 * @typedef {object} Played
 * @property {JitterBuffer} buffer
 * @property {Float32Array} sound What came out of the loudspeaker.
 * @property {BufferStats} stats
 * @property {BufferStats[]} course Of each second.
 */

/**
 * @param {object} scene
 * @param {number} scene.seconds
 * @param {(i: number) => number} [scene.signal] By sample.
 * @param {(frame: number, due: number) => number | null} [scene.arrival] When a frame comes, in milliseconds, if it is sent
 *   at `due`; null for one that is lost. None overtakes another.
 * @param {number} [scene.frameMs]
 * @param {number} [scene.drift] By how much the sender's clock is faster than the loudspeaker's, such as 0.0002.
 * @param {boolean} [scene.live]
 * @param {boolean} [scene.ends] Whether the sender tells when it is through.
 * @param {(buffer: JitterBuffer, ms: number) => void} [scene.act] What else happens, before each quantum.
 * @returns {Played}
 */
export function play({
  seconds,
  signal = sine(300),
  arrival = (_, due) => due,
  frameMs = 20,
  drift = 0,
  live = true,
  ends = false,
  act = () => undefined,
}) {
  const buffer = new JitterBuffer({ sampleRate: RATE });
  buffer.begin({ frameMs, live });
  const length = (RATE * frameMs) / 1000;
  const frames = Math.floor((seconds * 1000) / frameMs);
  const quanta = Math.floor((seconds * RATE) / QUANTUM) + (ends ? RATE / QUANTUM : 0);
  const sound = new Float32Array(quanta * QUANTUM);
  /** @type {BufferStats[]} */
  const course = [];
  let frame = 0;
  let lost = 0;
  let last = 0;
  let next = due(0);

  /** @param {number} number */
  function due(number) {
    const sent = ((number + 1) * frameMs) / (1 + drift);
    const at = arrival(number, sent);
    if (at !== null) last = Math.max(last, at);
    return { at: at === null ? sent : last, lost: at === null };
  }

  for (let quantum = 0; quantum < quanta; quantum++) {
    const now = quantum * QUANTUM;
    const ms = (1000 * now) / RATE;
    while (frame < frames && next.at <= ms) {
      if (next.lost) lost++;
      else {
        if (lost > 0) buffer.skip(lost * length);
        lost = 0;
        const samples = Float32Array.from({ length }, (_, i) => signal(frame * length + i));
        buffer.push(samples, now, (frame * frameMs) / 1000);
      }
      if (++frame < frames) next = due(frame);
      else if (ends) buffer.end();
    }
    act(buffer, ms);
    buffer.pull(sound.subarray(now, now + QUANTUM), now);
    if (now % RATE < QUANTUM) course.push(buffer.stats);
  }
  return { buffer, sound, stats: buffer.stats, course };
}

/** The greatest step between two samples. @param {Float32Array} sound */
export function steepest(sound) {
  let most = 0;
  for (let i = 1; i < sound.length; i++) {
    most = Math.max(most, Math.abs(/** @type {number} */ (sound[i]) - /** @type {number} */ (sound[i - 1])));
  }
  return most;
}
