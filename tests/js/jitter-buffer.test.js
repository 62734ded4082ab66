import assert from "node:assert/strict";
import { test } from "node:test";

import { JitterBuffer } from "../../src/antiphon/web/sdk/player/jitter-buffer.js";
import { RATE, play, seeded, sine, steepest, voice } from "./jitter-kit.js";

/** The greatest step of a 300 Hz sine at half of full scale, and a little for a joint. */
const OWN_STEP = 1.02 * ((2 * Math.PI * 300) / RATE) * 0.5;
/** Of `voice`, as it was sent. */
const VOICE_STEP = 1.05 * steepest(Float32Array.from({ length: 10 * RATE }, (_, i) => voice(i)));

test("a steady stream comes out as it went in, and ends", () => {
  const { sound, stats, buffer } = play({ seconds: 3, ends: true, live: false, signal: voice });
  assert.equal(buffer.state, "ended");
  const begin = sound.findIndex((sample) => sample !== 0) - 1;
  for (let i = 300; i < 3 * RATE - 300; i++) {
    assert.ok(Math.abs(/** @type {number} */ (sound[begin + i]) - voice(i)) < 1e-6, `sample ${i}`);
  }
  assert.equal(stats.underruns, 0);
  assert.equal(stats.concealed, 0);
  assert.equal(stats.played, 3_000);
  assert.ok(steepest(sound) < VOICE_STEP);
});

test("it begins with five frames", () => {
  const buffer = new JitterBuffer({ sampleRate: RATE });
  buffer.begin({ frameMs: 20, live: true });
  const output = new Float32Array(128);
  for (let frame = 0; frame < 4; frame++) {
    buffer.push(new Float32Array(960), 960 * frame);
    buffer.pull(output, 960 * frame);
    assert.equal(buffer.state, "buffering");
  }
  buffer.push(new Float32Array(960), 4 * 960);
  buffer.pull(output, 4 * 960);
  assert.equal(buffer.state, "playing");
});

test("what is less than five frames long is played all the same", () => {
  const { buffer, stats } = play({ seconds: 0.04, ends: true });
  assert.equal(buffer.state, "ended");
  assert.equal(stats.played, 40);
});

test("without jitter the delay shrinks to little more than a frame, without a click", () => {
  const { course, sound, stats } = play({ seconds: 30, signal: voice });
  assert.ok(/** @type {any} */ (course[1]).level > 80);
  assert.ok(stats.target < 40, `target ${stats.target}`);
  assert.ok(stats.level < 45, `level ${stats.level}`);
  assert.ok(stats.shortened > 30);
  assert.equal(stats.underruns, 0);
  assert.ok(steepest(sound) < VOICE_STEP);
});

test("100 ms of jitter make the delay grow, and less than half a percent is made up", () => {
  const random = seeded(7);
  const { sound, stats } = play({ seconds: 60, arrival: (_, due) => due + 100 * random() });
  assert.ok(stats.target > 100 && stats.target < 150, `target ${stats.target}`);
  assert.ok(stats.concealed < 0.005 * stats.played, `concealed ${stats.concealed} of ${stats.played}`);
  assert.ok(steepest(sound) < OWN_STEP);
});

test("one late packet makes it careful, and calm makes it forget slowly", () => {
  const { course } = play({ seconds: 60, arrival: (frame, due) => (frame === 500 ? due + 250 : due) });
  const target = (/** @type {number} */ second) => /** @type {any} */ (course[second]).target;
  assert.ok(target(9) < 45);
  assert.ok(target(11) > 240);
  assert.ok(target(20) > 200, "not at once");
  assert.ok(target(28) < target(20), "but then");
  assert.ok(target(59) < 45);
});

test("bursts are evened out", () => {
  const { sound, stats } = play({ seconds: 30, arrival: (_, due) => 200 * Math.ceil(due / 200), signal: voice });
  assert.ok(stats.underruns <= 2, `${stats.underruns} underruns`);
  assert.ok(stats.concealed < 200);
  assert.ok(steepest(sound) < VOICE_STEP);
});

for (const drift of [0.0005, -0.0005]) {
  test(`a sender whose clock is ${drift > 0 ? "faster" : "slower"} is followed`, () => {
    const { course, sound, stats } = play({ seconds: 240, drift, signal: voice, arrival: (_, due) => due });
    const late = course.slice(30, 238);
    assert.ok(late.every(({ level }) => level < 70), `level up to ${Math.max(...late.map(({ level }) => level))}`);
    const { underruns, concealed } = /** @type {any} */ (late.at(-1));
    assert.equal(underruns, 0);
    assert.equal(concealed, 0);
    assert.ok(drift > 0 ? stats.shortened > 80 : stats.stretched > 60, JSON.stringify(stats));
    assert.ok(steepest(sound) < VOICE_STEP);
  });
}

test("lost packets are made up for without a click, and cost no delay", () => {
  const random = seeded(3);
  const { sound, stats } = play({ seconds: 30, arrival: (_, due) => (random() < 0.03 ? null : due) });
  assert.ok(steepest(sound) < OWN_STEP);
  assert.ok(stats.level < 60);
  assert.ok(stats.concealed < 0.05 * stats.played);
});

test("a live stream that stalled catches up, and throws away what is too late", () => {
  const { course, sound, stats } = play({
    seconds: 20,
    signal: voice,
    arrival: (_, due) => (due > 5_000 && due < 7_000 ? 7_000 : due),
  });
  assert.ok(stats.dropped >= 1_300 && stats.dropped <= 2_000, `dropped ${stats.dropped}`);
  assert.ok(Math.max(...course.map(({ level }) => level)) <= 525);
  assert.ok(stats.level < 60);
  assert.equal(stats.underruns, 1);
  assert.ok(steepest(sound) < VOICE_STEP);
});

test("of a file that stalled nothing is thrown away", () => {
  const { sound, stats, buffer } = play({
    seconds: 20,
    signal: voice,
    live: false,
    arrival: (_, due) => (due > 5_000 && due < 5_900 ? 5_900 : due),
    ends: true,
  });
  assert.equal(stats.dropped, 0);
  assert.equal(stats.shortened, 0);
  assert.ok(stats.concealed > 700);
  assert.equal(buffer.state, "ended");
  assert.equal(Math.round(stats.played - stats.concealed), 20_000);
  assert.ok(steepest(sound) < VOICE_STEP);
});

test("where sound stops it fades rather than breaks off, and is silent within a tenth of a second", () => {
  const { sound, stats } = play({ seconds: 3, arrival: (_, due) => (due > 1_500 ? 1e9 : due) });
  assert.equal(stats.underruns, 1);
  assert.ok(steepest(sound) < OWN_STEP);
  assert.ok(sound.subarray(1.75 * RATE).every((sample) => sample === 0));
});

test("after clear it is silent within 10 ms without a click, and goes on with what comes", () => {
  let cleared = 0;
  const { sound } = play({
    seconds: 3,
    act: (buffer, ms) => {
      if (ms >= 1_500 && cleared === 0) {
        cleared = Math.round((ms * RATE) / 1000);
        buffer.clear();
        assert.ok(buffer.level <= RATE / 100);
      }
    },
  });
  assert.ok(sound.subarray(cleared - 480, cleared).some((sample) => Math.abs(sample) > 0.4));
  assert.ok(sound.subarray(cleared + 480, cleared + 960).every((sample) => sample === 0));
  assert.ok(sound.subarray(2 * RATE, 2.5 * RATE).some((sample) => Math.abs(sample) > 0.4));
  assert.ok(steepest(sound) < OWN_STEP);
});

test("a stream of noise has no step that noise has not", () => {
  const noise = Float32Array.from({ length: RATE }, ((random) => () => 0.4 * (random() - 0.5))(seeded(5)));
  const random = seeded(6);
  const { sound } = play({
    seconds: 20,
    signal: (i) => /** @type {number} */ (noise[i % RATE]),
    arrival: (_, due) => (random() < 0.05 ? null : due + 150 * random() ** 8),
  });
  // two neighbours of noise are up to the whole range apart
  assert.ok(steepest(sound) < 0.42);
  assert.ok(sound.every((sample) => Math.abs(sample) < 0.4));
});

test("packets of 10 and of 60 ms are played as well", () => {
  for (const frameMs of [10, 40, 60]) {
    const random = seeded(frameMs);
    const arrival = (/** @type {number} */ _, /** @type {number} */ due) => due + 30 * random();
    const { sound, stats } = play({ seconds: 20, frameMs, signal: voice, arrival });
    assert.ok(stats.concealed < 0.005 * stats.played, `${frameMs} ms: concealed ${stats.concealed}`);
    assert.ok(steepest(sound) < VOICE_STEP);
  }
});

test("whatever comes in whatever order, the output is finite and within bounds", () => {
  const random = seeded(11);
  const buffer = new JitterBuffer({ sampleRate: RATE });
  const output = new Float32Array(128);
  for (let quantum = 0; quantum < 40_000; quantum++) {
    const now = 128 * quantum;
    const dice = random();
    if (dice < 0.1) {
      const tone = sine(200 + 500 * random());
      buffer.push(
        Float32Array.from({ length: Math.floor(6_000 * random()) }, (_, i) => tone(i)),
        now,
      );
    } else if (dice < 0.11) buffer.skip(Math.floor(10_000 * random()));
    else if (dice < 0.112) buffer.clear();
    else if (dice < 0.113) buffer.begin({ frameMs: 20, live: random() < 0.5 });
    else if (dice < 0.115) buffer.end();
    else if (dice < 0.117) buffer.rejoin();
    buffer.pull(output, now);
    for (const sample of output) assert.ok(Math.abs(sample) <= 1.5, `sample ${sample}`);
    assert.ok(buffer.level >= 0 && buffer.level <= 61 * RATE);
  }
});
