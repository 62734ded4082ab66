import assert from "node:assert/strict";
import { test } from "node:test";

import { clockTime, cueTime, cues, toJson, toSrt, toText, toVtt } from "../../src/antiphon/web/exports.js";

/**
 * @param {string} text
 * @param {number} start
 * @param {number} end
 * @param {boolean} [timed] Whether the engine timed the words: evenly, half a second each.
 */
const line = (text, start, end, timed = false) => ({
  key: text,
  text,
  start,
  end,
  language: "en-US",
  speaker: null,
  words: timed
    ? text.split(" ").map((word, i) => ({ word, start: start + i / 2, end: start + (i + 1) / 2, confidence: 0.9 }))
    : [],
});

test("times read as people and players write them", () => {
  assert.deepEqual([0, 7.9, 760, 3723].map(clockTime), ["0:00", "0:07", "12:40", "1:02:03"]);
  assert.equal(cueTime(7.25, ","), "00:00:07,250");
  assert.equal(cueTime(3723.0004, "."), "01:02:03.000");
  assert.equal(cueTime(59.9996, "."), "00:01:00.000");
});

test("text has a time and an utterance on each line", () => {
  assert.equal(toText([line("go forward", 1, 2), line("stop", 65, 66)]), "[0:01] go forward\n[1:05] stop\n");
});

test("SubRip numbers its cues from 1", () => {
  assert.equal(
    toSrt([line("go forward", 1, 2.5), line("stop", 65, 66)]),
    "1\n00:00:01,000 --> 00:00:02,500\ngo forward\n\n2\n00:01:05,000 --> 00:01:06,000\nstop\n\n",
  );
});

test("WebVTT begins with its name and escapes what would be markup", () => {
  assert.equal(
    toVtt([line("a <b> & c", 0, 1)]),
    "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt;b&gt; &amp; c\n\n",
  );
});

test("a long utterance becomes cues that fit on a screen, at the words' own times", () => {
  const words = Array.from({ length: 40 }, (_, i) => `word${i}`).join(" ");
  const parts = cues([line(words, 10, 30, true)]);
  assert.equal(parts.map((cue) => cue.text).join(" "), words);
  for (const cue of parts) {
    assert.ok(cue.text.length <= 84 && cue.end - cue.start <= 6, JSON.stringify(cue));
  }
  const second = /** @type {{text: string, start: number}} */ (parts[1]);
  const first = words.split(" ").indexOf(String(second.text.split(" ")[0]));
  assert.equal(second.start, 10 + first / 2);
  for (const row of toSrt([line(words, 10, 30, true)]).split("\n")) assert.ok(row.length <= 42, row);
});

test("an utterance without word times is spread by the length of its words", () => {
  const parts = cues([line("a ".repeat(100).trim(), 0, 20)]);
  assert.equal(parts[0]?.start, 0);
  assert.ok(Math.abs(Number(parts.at(-1)?.end) - 20) < 1e-6);
  assert.ok(parts.length > 2);
});

test("cues do not overlap, and none is too short to be seen", () => {
  const parts = cues([line("yes", 1, 1.01), line("no", 1.2, 1.21), line("well", 9, 9)]);
  assert.deepEqual(parts.map(({ start, end }) => [start, end]), [[1, 1.2], [1.2, 1.7], [9, 9.5]]);
});

test("JSON has the text, and every word with its times", () => {
  const read = JSON.parse(toJson([line("go forward", 1, 2, true), line("stop", 3, 4)]));
  assert.equal(read.text, "go forward\nstop");
  assert.deepEqual(read.results[0].words[1], { word: "forward", start: 1.5, end: 2, confidence: 0.9 });
  assert.ok(!("key" in read.results[0]));
});

test("a transcript without words is still a proper file", () => {
  assert.deepEqual([toText([]), toSrt([]), toVtt([])], ["", "", "WEBVTT\n\n"]);
  assert.deepEqual(JSON.parse(toJson([])), { text: "", results: [] });
});
