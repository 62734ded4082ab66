import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameStore, HEADER_BYTES, packet } from "../../src/antiphon/web/sdk/rtp.js";

const header = { sequence: 0, timestamp: 0, ssrc: 0, payloadType: 96 };

/** @param {Uint8Array} bytes */
const hex = (bytes) => Buffer.from(bytes).toString("hex");

test("a packet is the fixed header of RFC 3550 section 5.1 and the payload", () => {
  const bytes = packet(Uint8Array.of(1, 2, 3), {
    sequence: 0x1234,
    timestamp: 0x0a0b0c0d,
    ssrc: 0xdeadbeef,
    payloadType: 96,
  });
  assert.equal(hex(bytes), "8060" + "1234" + "0a0b0c0d" + "deadbeef" + "010203");
});

test("the wire carries the low 16 bits of the sequence number and the low 32 of the timestamp", () => {
  const bytes = packet(new Uint8Array(0), {
    ...header,
    sequence: 0x1_0000 * 3 + 7,
    timestamp: 0x1_0000_0000 * 2 + 640,
  });
  assert.equal(bytes.length, HEADER_BYTES);
  assert.equal(hex(bytes.subarray(2, 8)), "0007" + "00000280");
});

test("a store gives back each frame by its index, whole and in its own length", () => {
  const store = new FrameStore(4, 3);
  assert.equal(store.push(Uint8Array.of(1, 2, 3)), 0);
  assert.equal(store.push(Uint8Array.of(4)), 1);
  assert.deepEqual([...store.at(0)], [1, 2, 3]);
  assert.deepEqual([...store.at(1)], [4]);
});

test("a full store drops the oldest frame and never one that is newer", () => {
  const store = new FrameStore(3, 1);
  for (let i = 0; i < 10; i++) store.push(Uint8Array.of(i));
  assert.deepEqual([store.start, store.end], [7, 10]);
  assert.deepEqual([7, 8, 9].map((i) => [...store.at(i)]), [[7], [8], [9]]);
  assert.throws(() => store.at(6), /frame 6 is not held; 7 to 9 are/);
  assert.throws(() => store.at(10), RangeError);
});

test("a store copies: the frame may be used again by who pushed it", () => {
  const store = new FrameStore(2, 2);
  const frame = Uint8Array.of(5, 6);
  store.push(frame);
  frame.fill(0);
  assert.deepEqual([...store.at(0)], [5, 6]);
});

test("a frame longer than its place is refused and takes no place", () => {
  const store = new FrameStore(2, 2);
  assert.throws(() => store.push(new Uint8Array(3)), /3 bytes does not fit in 2/);
  assert.equal(store.end, 0);
});

test("a store too long for 16-bit sequence numbers is refused", () => {
  assert.throws(() => new FrameStore(0x8001, 1), RangeError);
});
