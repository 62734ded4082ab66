import assert from "node:assert/strict";
import { test } from "node:test";

import { SegmentCutter } from "../../src/antiphon/web/sdk/segment-cutter.js";
import { SegmentQueue } from "../../src/antiphon/web/sdk/segment-queue.js";
import { VirtualTime } from "./stream-kit.js";

/** @typedef {import("../../src/antiphon/web/sdk/segment-cutter.js").SegmentFile} SegmentFile */
/** @typedef {import("../../src/antiphon/web/sdk/segment-queue.js").SegmentOutcome} SegmentOutcome */

/**
 * Every element of a WebM file, by id and content; masters are opened.
 *
 * @param {Uint8Array} bytes
 * @returns {[number, Uint8Array][]}
 */
function elements(bytes) {
  const masters = new Set([0x1a45dfa3, 0x18538067, 0x1549a966, 0x1654ae6b, 0xae, 0xe1, 0x1f43b675, 0xa0]);
  /** @type {[number, Uint8Array][]} */
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const idLength = Math.clz32(/** @type {number} */ (bytes[at]) << 24) + 1;
    const id = [...bytes.subarray(at, at + idLength)].reduce((value, byte) => value * 256 + byte, 0);
    at += idLength;
    assert.equal(bytes[at], 0x01, "sizes have eight bytes");
    const size = [...bytes.subarray(at + 1, at + 8)].reduce((value, byte) => value * 256 + byte, 0);
    at += 8;
    const content = bytes.subarray(at, at + size);
    at += size;
    if (masters.has(id)) found.push(...elements(content));
    else found.push([id, content]);
  }
  return found;
}

/** @param {Uint8Array} file @param {number} id */
const all = (file, id) => elements(file).filter(([one]) => one === id).map(([, content]) => content);

/** @param {Uint8Array | undefined} bytes */
const number = (bytes) => [...(bytes ?? [])].reduce((value, byte) => value * 256 + byte, 0);

/** @param {number} packets @param {number} seconds @returns {SegmentFile[]} */
function cut(packets, seconds) {
  /** @type {SegmentFile[]} */
  const files = [];
  const options = { seconds, frameMs: 20, channels: 1, sampleRate: 48_000, lookAhead: () => 312 };
  const cutter = new SegmentCutter(options, (file) => files.push(file));
  for (let i = 0; i < packets; i++) cutter.push(Uint8Array.of(i >> 8, i & 0xff));
  cutter.finish();
  return files;
}

/** The packets in a file. @param {Uint8Array} file */
const packetsOf = (file) =>
  elements(file)
    .filter(([id]) => id === 0xa3 || id === 0xa1)
    .map(([, block]) => number(block.subarray(4)));

test("segments follow each other without a gap: each has its packets, those before it and the one after", () => {
  const files = cut(126, 1);
  assert.deepEqual(
    files.map(({ index, start, duration }) => [index, start, duration]),
    [
      [0, 0, 1],
      [1, 1, 1],
      [2, 2, 0.5],
    ],
  );
  const packets = files.map(({ file }) => packetsOf(file));
  assert.deepEqual([packets[0]?.at(0), packets[0]?.at(-1)], [0, 50]);
  assert.deepEqual([packets[1]?.at(0), packets[1]?.at(-1)], [46, 100]);
  assert.deepEqual([packets[2]?.at(0), packets[2]?.at(-1)], [96, 125]);
});

test("a file says which samples are not its own, at both ends", () => {
  const [first, second] = cut(126, 1);
  const delays = [first, second].map((segment) => number(all(segment?.file ?? new Uint8Array(), 0x56aa)[0]));
  assert.deepEqual(delays, [6_500_000, 86_500_000]);
  const discards = [first, second].map((segment) => number(all(segment?.file ?? new Uint8Array(), 0x75a2)[0]));
  assert.deepEqual(discards, [13_500_000, 13_500_000]);
  const heads = [first, second].map((segment) => all(segment?.file ?? new Uint8Array(), 0x63a2)[0]);
  assert.deepEqual(heads.map((head) => head?.[10] !== undefined && head[10] + 256 * Number(head[11])), [312, 4152]);
  for (const segment of [first, second]) {
    const duration = all(segment?.file ?? new Uint8Array(), 0x4489)[0];
    assert.equal(duration && new DataView(duration.buffer, duration.byteOffset).getFloat64(0), 1000);
  }
});

test("a file that is longer than a block's clock reaches has more clusters", () => {
  const [file] = cut(1701, 34);
  const times = all(file?.file ?? new Uint8Array(), 0xe7).map(number);
  assert.deepEqual(times, [0, 10_000, 20_000, 30_000]);
  assert.equal(packetsOf(file?.file ?? new Uint8Array()).length, 1701);
});

test("nothing recorded is no segment", () => {
  assert.deepEqual(cut(0, 1), []);
  assert.deepEqual(cut(1, 1), []);
});

/** A socket whose answers are given by hand. */
class FakeSocket {
  connected = true;
  id = "s";
  /** @type {{data: Record<string, any>, answer: (answer: unknown) => void}[]} */
  sent = [];
  connect() {}
  disconnect() {}
  on() {}
  off() {}
  /** @param {string} event @param {any[]} data */
  emit(event, ...data) {
    assert.equal(event, "audio-chunk");
    this.sent.push({ data: data[0], answer: data[1] });
  }
}

/** @param {number} [most] */
function rig(most = 3) {
  const time = new VirtualTime();
  const socket = new FakeSocket();
  /** @type {SegmentOutcome[]} */
  const outcomes = [];
  const queue = new SegmentQueue({
    socket,
    about: () => ({ sessionId: "s1" }),
    most,
    tell: (outcome) => outcomes.push(outcome),
    timers: time.timers,
    random: () => 1,
  });
  const push = (/** @type {number} */ timestamp) =>
    queue.push({ file: Uint8Array.of(1, 2, 255), format: "webm", timestamp, duration: 10 });
  const told = () => outcomes.map((outcome) => [outcome.type, "segment" in outcome ? outcome.segment.timestamp : outcome.delay]);
  return { time, socket, queue, push, outcomes, told };
}

test("segments go one after the other, each when the one before was answered", async () => {
  const { socket, queue, push, told } = rig();
  push(1);
  push(2);
  assert.equal(socket.sent.length, 1);
  assert.deepEqual(socket.sent[0]?.data, { sessionId: "s1", audio: "AQL/", format: "webm", duration: 10, timestamp: 1 });
  socket.sent[0]?.answer({ status: "accepted", reason: "queued" });
  assert.equal(socket.sent[1]?.data["timestamp"], 2);
  const drained = queue.drained(1000);
  socket.sent[1]?.answer({ status: "skipped", reason: "too_small" });
  await drained;
  assert.deepEqual(told(), [
    ["accepted", 1],
    ["skipped", 2],
  ]);
});

test("who is too fast waits as long as the server says, and sends the same segment again", () => {
  const { time, socket, push, outcomes, told } = rig();
  push(1);
  const error = { code: "rate_limited", message: "60 a minute", retryable: true, retryAfter: 7 };
  socket.sent[0]?.answer({ status: "rejected", reason: "rate_limited", error });
  push(2);
  time.move(6_999);
  assert.equal(socket.sent.length, 1);
  time.move(1);
  assert.equal(socket.sent[1]?.data["timestamp"], 1);
  assert.deepEqual(told(), [["waiting", 7000]]);
  assert.equal(outcomes[0]?.type === "waiting" && outcomes[0].error.message, "60 a minute");
});

test("what the server will never take is told and not sent again", () => {
  const { socket, push, outcomes } = rig();
  push(1);
  push(2);
  const error = { code: "bad_audio", message: "no audio", retryable: false };
  socket.sent[0]?.answer({ status: "rejected", reason: "bad_audio", error });
  assert.equal(outcomes[0]?.type === "rejected" && outcomes[0].error.code, "bad_audio");
  assert.equal(socket.sent[1]?.data["timestamp"], 2);
});

test("while the server is away so many are kept, and the oldest goes for a new one", () => {
  const { socket, queue, push, told } = rig();
  socket.connected = false;
  for (let i = 1; i <= 5; i++) push(i);
  assert.deepEqual(told(), [
    ["lost", 1],
    ["lost", 2],
  ]);
  socket.connected = true;
  queue.pump();
  assert.equal(socket.sent[0]?.data["timestamp"], 3);
  assert.equal(queue.lost, 2);
});

test("a segment whose answer was lost with the connection is sent again", () => {
  const { time, socket, queue, push, told } = rig();
  push(1);
  socket.connected = false;
  queue.interrupted();
  socket.sent[0]?.answer({ status: "accepted" }); // of a connection that is gone
  assert.deepEqual(told(), []);
  socket.connected = true;
  queue.pump();
  assert.equal(socket.sent.length, 2);
  time.move(30_000); // and one that is never answered
  assert.deepEqual(told(), [["waiting", 1000]]);
  time.move(1000);
  assert.equal(socket.sent.length, 3);
  socket.sent[2]?.answer({ status: "skipped", reason: "duplicate" });
  assert.equal(queue.waiting, 0);
  assert.equal(time.waiting, 0);
});

test("leaving does not wait for a server that never answers", async () => {
  const { time, queue, push } = rig();
  push(1);
  const drained = queue.drained(5_000);
  time.move(5_000);
  await drained;
  queue.close();
  assert.equal(time.waiting, 0);
});
