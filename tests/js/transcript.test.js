import assert from "node:assert/strict";
import { test } from "node:test";

import { readResult } from "../../src/antiphon/web/sdk/results.js";
import { Transcript } from "../../src/antiphon/web/transcript.js";

/**
 * @param {string} resultId
 * @param {string} text
 * @param {Partial<import("../../src/antiphon/web/sdk/results.js").Result>} [more]
 */
const result = (resultId, text, more = {}) => ({
  resultId,
  text,
  isPartial: false,
  start: 0,
  end: 1,
  language: "en-US",
  speaker: null,
  words: [],
  ...more,
});

test("the WebSocket's camelCase and the event stream's snake_case read the same", () => {
  const words = [{ word: "go", start: 0.1, end: 0.3, confidence: 0.9 }];
  const rest = { text: "go", start: 0.1, end: 0.3, language: "en-US", speaker: "p1", words };
  const camel = readResult({ type: "transcript", eventId: 4, resultId: "r1", isPartial: true, ...rest });
  const snake = readResult({ event_id: 4, result_id: "r1", is_partial: true, ...rest });
  assert.deepEqual(camel, { resultId: "r1", isPartial: true, ...rest });
  assert.deepEqual(snake, camel);
});

test("a result without words, and one whose times are nonsense, are still shown", () => {
  const read = readResult({ resultId: "r", text: " hello ", isPartial: false, start: "x", end: -4 });
  assert.deepEqual(read, result("r", "hello", { start: 0, end: 0, language: "" }));
});

test("what is not a result is none", () => {
  for (const wire of [null, 1, "text", [], {}, { text: 5 }]) assert.equal(readResult(wire), null);
});

test("partials replace one another and the final ends them", () => {
  const transcript = new Transcript();
  assert.equal(transcript.apply(result("r1", "go", { isPartial: true })), "partial");
  assert.equal(transcript.apply(result("r1", "go for", { isPartial: true })), "partial");
  assert.deepEqual([...transcript.partials.values()].map((line) => line.text), ["go for"]);
  assert.equal(transcript.apply(result("r1", "go forward")), "final");
  assert.equal(transcript.partials.size, 0);
  assert.deepEqual(transcript.lines.map((line) => line.text), ["go forward"]);
});

test("a final that comes twice, or a partial that comes late, changes nothing", () => {
  const transcript = new Transcript();
  transcript.apply(result("r1", "go forward"));
  assert.equal(transcript.apply(result("r1", "go forward")), "none");
  assert.equal(transcript.apply(result("r1", "go", { isPartial: true })), "none");
  assert.equal(transcript.lines.length, 1);
});

test("a final without words takes its partial away and leaves no line", () => {
  const transcript = new Transcript();
  transcript.apply(result("r1", "uh", { isPartial: true }));
  assert.equal(transcript.apply(result("r1", "")), "partial");
  assert.ok(transcript.isEmpty);
  assert.equal(transcript.partials.size, 0);
});

test("finals stand in the order they were spoken, whichever came first", () => {
  const transcript = new Transcript();
  transcript.apply(result("r2", "second", { start: 5, end: 6 }));
  transcript.apply(result("r1", "first", { start: 1, end: 2 }));
  assert.deepEqual(transcript.lines.map((line) => line.text), ["first", "second"]);
});

test("each take has its place on one timeline, and its results do not meet those of another", () => {
  const transcript = new Transcript();
  transcript.beginTake(0);
  transcript.apply(result("r1", "one", { start: 1, end: 2, words: [{ word: "one", start: 1, end: 2, confidence: null }] }));
  transcript.apply(result("r2", "lost", { start: 3, end: 4, isPartial: true }));
  transcript.beginTake(10.5);
  assert.equal(transcript.partials.size, 0);
  assert.equal(
    transcript.apply(result("r1", "two", { start: 1, end: 2, words: [{ word: "two", start: 1, end: 2, confidence: null }] })),
    "final",
  );
  assert.deepEqual(transcript.lines.map(({ text, start, end }) => [text, start, end]), [["one", 1, 2], ["two", 11.5, 12.5]]);
  assert.equal(transcript.lines[1]?.words[0]?.start, 11.5);
  assert.equal(transcript.end, 12.5);
});
