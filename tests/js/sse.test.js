import assert from "node:assert/strict";
import { test } from "node:test";

import { EventStreamParser, readEvents } from "../../src/antiphon/web/sse.js";

const STREAM =
  "\uFEFF: a comment\r\n" +
  "id: 1\r\nevent: partial\r\ndata: {\"text\":\r\ndata:\"go\"}\r\n\r\n" +
  "event: ignored because it has no data\n\n" +
  "id: 2\nevent: final\ndata: größer\n\n" +
  "data: plain\rretry: 100\r\r" +
  "data\n\n";

const EVENTS = [
  { type: "partial", data: '{"text":\n"go"}', id: "1" },
  { type: "final", data: "größer", id: "2" },
  { type: "message", data: "plain", id: "2" },
  { type: "message", data: "", id: "2" },
];

test("a stream is read as the standard says", () => {
  assert.deepEqual(new EventStreamParser().push(STREAM), EVENTS);
});

test("events do not depend on where the stream is cut", () => {
  for (let cut = 1; cut < STREAM.length; cut++) {
    const parser = new EventStreamParser();
    const events = [...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))];
    assert.deepEqual(events, EVENTS, `cut at ${cut}`);
  }
  const parser = new EventStreamParser();
  assert.deepEqual([...STREAM].flatMap((character) => parser.push(character)), EVENTS);
});

test("an event that never ends is refused before it fills the memory", () => {
  const parser = new EventStreamParser();
  const line = `data: ${"x".repeat(1024 * 1024)}\n`;
  assert.throws(() => {
    for (let i = 0; i < 20; i++) parser.push(line);
  }, /more than 8388608 characters/);
});

test("a body is read byte by byte, characters of several bytes among them", async () => {
  const bytes = new TextEncoder().encode(STREAM);
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const events = [];
  for await (const event of readEvents(body)) events.push(event);
  assert.deepEqual(events, EVENTS);
});

test("leaving off reading lets go of the body", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\ndata: 2\n\n")),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const event of readEvents(body)) {
    assert.equal(event.data, "1");
    break;
  }
  assert.ok(cancelled);
});
