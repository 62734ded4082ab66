import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { AdaptiveBitrateController } from "../../src/antiphon/web/sdk/adaptive-bitrate.js";
import { BITRATES, BitrateController } from "../../src/antiphon/web/sdk/bitrate-controller.js";
import { Emitter } from "../../src/antiphon/web/sdk/events.js";
import { VirtualTime } from "./stream-kit.js";

/** @typedef {import("../../src/antiphon/web/sdk/stream-events.js").StreamConditions} StreamConditions */
/** @typedef {import("../../src/antiphon/web/sdk/audio-stream-manager.js").AudioStreamManager} AudioStreamManager */

const vectors = JSON.parse(readFileSync(new URL("../vectors/bitrate.json", import.meta.url), "utf8"));

/** @param {string} name */
const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** @param {Record<string, number>} options */
const renamed = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));

test("the defaults are those of the core", () => {
  assert.deepEqual(BITRATES, renamed(vectors.defaults));
});

for (const { name, options, steps } of vectors.scenarios) {
  test(`as in every language: ${name}`, () => {
    const controller = new BitrateController(renamed(options));
    for (const { now, round_trip: roundTrip, loss, sent, then } of steps) {
      assert.deepEqual(controller.update(now, { roundTrip, loss, sent }), renamed(then), `at ${now} s`);
    }
  });
}

test("settings and measures that make no sense are named, and change nothing", () => {
  assert.throws(() => new BitrateController({ minimum: 64_000, maximum: 32_000 }), /minimum <= start/);
  assert.throws(() => new BitrateController({ increase: 1 }), /increase must be above 1/);
  const controller = new BitrateController();
  assert.throws(() => controller.update(0, { roundTrip: NaN, loss: 0 }), /round trip/);
  assert.throws(() => controller.update(0, { roundTrip: 0, loss: 1.1 }), /loss/);
  assert.throws(() => controller.update(Infinity, { roundTrip: 0, loss: 0 }), /time/);
  assert.equal(controller.condition, null);
});

/**
 * A stream whose way is set by hand.
 *
 * @extends {Emitter<{"bitrate-change": {bitrate: number}}>}
 */
class FakeStream extends Emitter {
  /** @type {StreamConditions} */
  now = {
    roundTrip: 20,
    loss: 0,
    jitter: 0,
    sent: 1e6,
    received: 0,
    waiting: 0,
    unacknowledged: 0,
    lost: 0,
    dropped: 0,
    buffered: 0,
  };
  /** @type {number[]} */
  asked = [];
  pings = 0;
  /** @type {object[]} */
  stats = [];

  conditions() {
    return this.now;
  }

  ping() {
    this.pings++;
  }

  /** @param {object} values */
  sendStats(values) {
    this.stats.push(values);
  }

  /** @param {number} bitrate */
  setBitrate(bitrate) {
    this.asked.push(bitrate);
  }

  /** @param {number} bitrate */
  wish(bitrate) {
    this.emit("bitrate-change", { bitrate });
  }
}

/** @param {FakeStream} fake */
const asStream = (fake) => /** @type {AudioStreamManager} */ (/** @type {unknown} */ (fake));

/** What is under way settles. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("once a second the network is looked at, and encoders here and there follow", async () => {
  const time = new VirtualTime();
  const stream = new FakeStream();
  /** @type {number[]} */
  const encoder = [];
  const adaptive = new AdaptiveBitrateController({
    connection: asStream(stream),
    encoders: [{ setBitrate: (bitrate) => encoder.push(bitrate) }],
    timers: time.timers,
  });
  adaptive.start();
  assert.deepEqual(encoder, [128_000]);
  for (let second = 0; second < 2; second++) {
    time.move(1000);
    await settled();
  }
  assert.deepEqual(encoder, [128_000, 153_600, 184_320]);
  assert.deepEqual(stream.asked, encoder);
  assert.equal(stream.pings, 2);
  assert.deepEqual(stream.stats[0], { roundTrip: 20, jitter: 0, loss: 0, sent: 1_000_000 });
  stream.now = { ...stream.now, roundTrip: 250 };
  time.move(1000);
  await settled();
  assert.equal(encoder.at(-1), 32_000);
  assert.equal(adaptive.condition, "poor");
  adaptive.stop();
  assert.equal(time.waiting, 0);
});

test("what the server wishes is not exceeded, and nothing goes below the minimum", async () => {
  const time = new VirtualTime();
  const stream = new FakeStream();
  const adaptive = new AdaptiveBitrateController({ connection: asStream(stream), timers: time.timers });
  /** @type {number[]} */
  const changes = [];
  adaptive.on("change", ({ bitrate }) => changes.push(bitrate));
  adaptive.start();
  stream.wish(64_000);
  time.move(1000);
  await settled();
  assert.equal(adaptive.bitrate, 64_000);
  stream.wish(8_000);
  assert.equal(adaptive.bitrate, 32_000);
  stream.wish(256_000);
  assert.deepEqual(changes, [64_000, 32_000, 153_600]);
  adaptive.stop();
  stream.wish(40_000);
  assert.equal(changes.length, 3);
});

test("where no ping has come back yet nothing is decided", async () => {
  const stream = new FakeStream();
  stream.now = { ...stream.now, roundTrip: null };
  const adaptive = new AdaptiveBitrateController({ connection: asStream(stream) });
  await adaptive.look();
  assert.equal(adaptive.condition, null);
  assert.equal(stream.pings, 1);
});
