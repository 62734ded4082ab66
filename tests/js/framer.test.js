import assert from "node:assert/strict";
import { test } from "node:test";

import { Framer, downmix, interleave } from "../../src/antiphon/web/sdk/framer.js";

/** @param {number} size */
function collect(size) {
  /** @type {import("../../src/antiphon/web/sdk/framer.js").Frame[]} */
  const frames = [];
  return { frames, framer: new Framer(size, (frame) => frames.push(frame)) };
}

test("128-sample quanta become frames of 320 samples, none lost and none invented", () => {
  const { frames, framer } = collect(320);
  const input = Float32Array.from({ length: 128 * 10 }, (_, i) => i / 2000);
  for (let i = 0; i < input.length; i += 128) framer.push(input.subarray(i, i + 128));
  assert.deepEqual(frames.map((frame) => frame.samples.length), [320, 320, 320, 320]);
  const out = frames.flatMap((frame) => [...frame.samples]);
  assert.deepEqual(out, [...input].map((sample) => Math.round(sample * 0x7fff)));
});

test("full scale is reached and never wraps", () => {
  const { frames, framer } = collect(6);
  framer.push(Float32Array.of(1, -1, 1.5, -1.5, NaN, 0));
  assert.deepEqual([.../** @type {Int16Array} */ (frames[0]?.samples)], [32767, -32768, 32767, -32768, 0, 0]);
});

test("frames may be transferred to another thread as they come", () => {
  /** @type {Int16Array[]} */
  const received = [];
  const framer = new Framer(4, ({ samples }) => {
    received.push(structuredClone(samples, { transfer: [/** @type {ArrayBuffer} */ (samples.buffer)] }));
  });
  framer.push(Float32Array.of(0, 0, 0, 0, 1, 1, 1, 1, -1));
  framer.finish();
  assert.deepEqual(received.map((samples) => [...samples]), [
    [0, 0, 0, 0],
    [32767, 32767, 32767, 32767],
    [-32768, 0, 0, 0],
  ]);
});

test("each frame has its own level", () => {
  const { frames, framer } = collect(2);
  framer.push(Float32Array.of(0.5, -0.5, 1, 0, 0, 0));
  assert.deepEqual(frames.map((frame) => frame.level), [0.5, Math.SQRT1_2, 0]);
});

test("finishing fills the last frame with silence", () => {
  const { frames, framer } = collect(4);
  framer.push(Float32Array.of(1));
  framer.finish();
  framer.finish();
  assert.deepEqual(frames.map((frame) => [...frame.samples]), [[32767, 0, 0, 0]]);
});

test("channels are averaged, so that one silent side does not clip or vanish", () => {
  const mono = downmix([Float32Array.of(1, 0.5), Float32Array.of(0, 0.5)]);
  assert.deepEqual([...mono], [0.5, 0.5]);
  assert.throws(() => downmix([]), /at least one channel/);
});

test("two channels are interleaved, one is itself", () => {
  const [left, right] = [Float32Array.of(0.5, 0.25), Float32Array.of(-0.5, -0.25)];
  assert.deepEqual([...interleave([left, right])], [0.5, -0.5, 0.25, -0.25]);
  assert.equal(interleave([left]), left);
  assert.throws(() => interleave([]), RangeError);
});
