import assert from "node:assert/strict";
import { test } from "node:test";

import { packetDuration } from "../../src/antiphon/web/sdk/player/opus-packet.js";
import { SoundPath } from "../../src/antiphon/web/sdk/player/sound-path.js";

/** @typedef {import("../../src/antiphon/web/sdk/player/worklet.js").PlayerOrder} PlayerOrder */

/** @param {number} outputRate */
function path(outputRate) {
  /** @type {PlayerOrder[]} */
  const sent = [];
  /** @type {string[]} */
  const failed = [];
  const made = new SoundPath({ outputRate, send: (order) => sent.push(order), fail: (code) => failed.push(code) });
  return { made, sent, failed };
}

/** @param {number[]} samples */
const pcm = (...samples) => new Uint8Array(Int16Array.from(samples).buffer);

const sound = (/** @type {PlayerOrder[]} */ sent) =>
  sent.flatMap((order) => (order.type === "audio" ? [...order.samples] : []));

const STREAM = { frameMs: 20, live: true };

test("16-bit samples come out as they went in", async () => {
  const { made, sent } = path(24_000);
  made.put(pcm(0, 16_384), { duration: 0.02 }); // before the decoder is there
  await made.open({ codec: "pcm_s16le", sampleRate: 24_000, channels: 1 }, STREAM);
  made.put(pcm(-32_768, 8_192), { duration: 0.02 });
  await made.end();
  assert.deepEqual(sent[0], { type: "begin", ...STREAM });
  assert.deepEqual(sound(sent), [0, 0.5, -1, 0.25]);
  assert.equal(sent.at(-1)?.type, "end");
});

test("two channels become one", async () => {
  const { made, sent } = path(24_000);
  await made.open({ codec: "pcm_s16le", sampleRate: 24_000, channels: 2 }, STREAM);
  made.put(pcm(16_384, 0, -16_384, 16_384), { duration: 0.02 });
  assert.deepEqual(sound(sent), [0.25, 0]);
});

test("another rate is converted, to the last sample", async () => {
  const { made, sent } = path(48_000);
  await made.open({ codec: "pcm_s16le", sampleRate: 16_000, channels: 1 }, STREAM);
  for (let i = 0; i < 10; i++) made.put(pcm(...Array(320).fill(8_192)), { duration: 0.02 });
  await made.end();
  const samples = sound(sent);
  assert.ok(samples.length >= 9_600 && samples.length < 9_800, `${samples.length}`);
  assert.ok(Math.abs(/** @type {number} */ (samples[5_000]) - 0.25) < 1e-3);
});

test("what is cut is not heard, and what is missing is told before what follows", async () => {
  const { made, sent } = path(24_000);
  await made.open({ codec: "pcm_s16le", sampleRate: 24_000, channels: 1 }, STREAM);
  const two = pcm(16_384, 8_192);
  made.put(two, { duration: 2 / 24_000, position: 1, cut: 1 / 24_000 });
  made.put(two, { duration: 2 / 24_000, position: 1, cut: 2 / 24_000 });
  made.put(two, { duration: 2 / 24_000, missing: 0.1 });
  assert.deepEqual(sound(sent), [0.25, 0.5, 0.25]);
  assert.deepEqual(sent[2], { type: "skip", length: 2_400 });
});

test("bytes that are no samples are counted and leave a hole; many of them are an error", async () => {
  const { made, sent, failed } = path(24_000);
  await made.open({ codec: "pcm_s16le", sampleRate: 24_000, channels: 1 }, STREAM);
  made.put(Uint8Array.of(1, 2, 3), { duration: 0.02 });
  made.put(new Uint8Array(0), { duration: 0.02 });
  assert.equal(made.bad, 2);
  assert.deepEqual(sent.slice(1), Array(2).fill({ type: "skip", length: 480 }));
  made.put(pcm(1, 2), { duration: 0.02 });
  for (let i = 0; i < 60; i++) made.put(Uint8Array.of(9), { duration: 0.02 });
  assert.deepEqual(failed, ["bad_stream"]);
});

test("without WebCodecs and without the decoder's file, Opus is an error that says so", async () => {
  const { made, failed } = path(48_000);
  await made.open({ codec: "opus", sampleRate: 48_000, channels: 3 }, STREAM);
  assert.deepEqual(failed, ["no_opus"]);
});

test("an Opus packet says how long it is", () => {
  assert.equal(packetDuration(Uint8Array.of(0xf8)), 20);
  assert.equal(packetDuration(Uint8Array.of(0xf0)), 10);
  assert.equal(packetDuration(Uint8Array.of(0xf9)), 40);
  assert.equal(packetDuration(Uint8Array.of(0x18)), 60);
  assert.equal(packetDuration(Uint8Array.of(0xfb, 3)), 60);
  for (const none of [[], [0xfb], [0xfb, 0], [0xfb, 63], [0x1b, 3]]) {
    assert.equal(packetDuration(Uint8Array.from(none)), null, `${none}`);
  }
});
