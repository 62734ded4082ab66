import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../src/antiphon/web/sdk/resample.js";

/**
 * @param {number} frequency
 * @param {number} rate
 * @param {number} seconds
 */
const tone = (frequency, rate, seconds) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate));

/**
 * @param {Float32Array} samples
 * @param {number} from
 * @param {number} to
 * @param {number} chunk
 */
function convert(samples, from, to, chunk) {
  const resampler = new Resampler(from, to);
  /** @type {number[]} */
  const out = [];
  for (let i = 0; i < samples.length; i += chunk) out.push(...resampler.process(samples.subarray(i, i + chunk)));
  return Float32Array.from(out);
}

/** @param {Float32Array} samples RMS of the middle half, in dB. */
function level(samples) {
  const middle = samples.subarray(samples.length / 4, (samples.length * 3) / 4);
  const power = middle.reduce((sum, sample) => sum + sample * sample, 0) / middle.length;
  return 10 * Math.log10(power * 2 + 1e-20);
}

for (const rate of [48_000, 44_100, 96_000, 8_000]) {
  test(`${rate} Hz becomes 16000 Hz with speech untouched`, () => {
    for (const frequency of [200, 1_000, 3_000]) {
      const out = convert(tone(frequency, rate, 0.5), rate, 16_000, 128);
      assert.ok(Math.abs(level(out)) < 0.1, `${frequency} Hz came out at ${level(out)} dB`);
    }
  });
}

for (const rate of [48_000, 44_100, 96_000]) {
  test(`what ${rate} Hz holds above the new Nyquist frequency does not come back as an alias`, () => {
    for (const frequency of [8_800, 10_000, 15_000, 20_000]) {
      const out = convert(tone(frequency, rate, 0.5), rate, 16_000, 128);
      assert.ok(level(out) < -75, `${frequency} Hz came out at ${level(out)} dB`);
    }
  });
}

test("the samples do not depend on how the input is cut up", () => {
  const input = tone(440, 44_100, 0.2);
  const whole = convert(input, 44_100, 16_000, input.length);
  for (const chunk of [1, 7, 128, 1000]) {
    const cut = convert(input, 44_100, 16_000, chunk);
    assert.ok(Math.abs(cut.length - whole.length) <= 1, `${cut.length} samples, not ${whole.length}`);
    for (let i = 0; i < cut.length; i++) {
      assert.ok(Math.abs(Number(cut[i]) - Number(whole[i])) < 1e-4, `sample ${i} in chunks of ${chunk}`);
    }
  }
});

test("time is kept: the output has the length and the phase of the input", () => {
  const out = convert(tone(500, 48_000, 1), 48_000, 16_000, 128);
  assert.ok(out.length > 16_000 - 64 && out.length <= 16_000, `${out.length} samples`);
  const wanted = tone(500, 16_000, 1);
  for (let i = 200; i < 15_000; i += 97) {
    assert.ok(Math.abs(Number(out[i]) - Number(wanted[i])) < 0.01, `sample ${i}`);
  }
});

test("a rate that is none is refused", () => {
  assert.throws(() => new Resampler(0, 16_000), /cannot convert 0 Hz/);
  assert.throws(() => new Resampler(48_000, NaN), RangeError);
});
