/**
 * An hour in seconds: a paced sender, a network and a loudspeaker in virtual time, with the SDK's jitter buffer between
 * them. `node virtual-hour.js SECONDS` prints a JSON object for each network.
 */

import { JitterBuffer } from "../../src/antiphon/web/sdk/player/jitter-buffer.js";

const RATE = 48_000;
const QUANTUM = 128;
const FRAME_MS = 20;
const FRAME = (RATE * FRAME_MS) / 1000;
const PITCH = 200;
const LEVEL = 0.4;

/** The same numbers each time (mulberry32). */
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A second of a tone with overtones, so that each second is like the one before. */
const second = Float32Array.from({ length: RATE }, (_, i) => {
  const turn = (2 * Math.PI * PITCH * i) / RATE;
  return (LEVEL / 2) * (Math.sin(turn) + Math.sin(2 * turn) / 2 + Math.sin(3 * turn) / 3);
});

const exponential = (random, mean) => -mean * Math.log(1 - random());

/** Milliseconds that a packet takes; by the pacer, the network, or both. */
const NETWORKS = {
  clean: { late: (random) => exponential(random, 0.3) },
  "clean, clocks 100 ppm apart": { late: (random) => exponential(random, 0.3), drift: 1e-4 },
  "jitter 20 ms": { late: (random) => 20 * random() },
  "jitter 100 ms": { late: (random) => 100 * random() },
  "Wi-Fi: 150 ms held back, now and then": { late: (random) => (random() < 0.002 ? 150 * random() : 2 * random()) },
};

function hour(seconds, { late, drift = 0 }) {
  const random = seeded(1);
  const buffer = new JitterBuffer({ sampleRate: RATE });
  buffer.begin({ frameMs: FRAME_MS, live: true });
  const output = new Float32Array(QUANTUM);
  const levels = [];
  let frame = 0;
  let arrives = 0;
  let due = 0;
  let last = 0;
  let steepest = 0;
  const next = () => {
    due = ((frame + 1) * FRAME_MS) / (1 + drift);
    arrives = Math.max(arrives, due + late(random));
  };
  next();
  for (let now = 0; now < seconds * RATE; now += QUANTUM) {
    while (1000 * now >= arrives * RATE) {
      const from = (frame * FRAME) % RATE;
      buffer.push(second.slice(from, from + FRAME), now);
      frame++;
      next();
    }
    buffer.pull(output, now);
    for (const sample of output) {
      steepest = Math.max(steepest, Math.abs(sample - last));
      last = sample;
    }
    if (now % RATE < QUANTUM) levels.push(buffer.stats.level);
  }
  let own = 0;
  for (let i = 1; i < RATE; i++) own = Math.max(own, Math.abs(second[i] - second[i - 1]));
  levels.sort((a, b) => a - b);
  return { ...buffer.stats, median: levels[levels.length >> 1], steepest: steepest / own };
}

const seconds = Number(process.argv[2]);
for (const [name, network] of Object.entries(NETWORKS)) {
  console.log(JSON.stringify({ name, ...hour(seconds, network) }));
}
