import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { advise, lostAudio } from "../../src/antiphon/web/messages.js";

const unknown = advise({ code: "no such code" });

test("every code the server may send has its own words and says what to do", () => {
  const source = readFileSync(new URL("../../src/antiphon/errors.py", import.meta.url), "utf8");
  const codes = [...source.matchAll(/^ {4}[A-Z_]+ = "([a-z_]+)"$/gm)].map((match) => String(match[1]));
  assert.ok(codes.length >= 14, `only ${codes.length} codes found in errors.py`);
  for (const code of codes) {
    const advice = advise({ code });
    assert.notEqual(advice.title, unknown.title, code);
    assert.notEqual(advice.action, "", code);
  }
});

test("every way in which capture fails has its own words", () => {
  const source = readFileSync(new URL("../../src/antiphon/web/capture.js", import.meta.url), "utf8");
  const listed = source.slice(source.indexOf("@typedef {"), source.indexOf("CaptureProblem"));
  const codes = [...listed.matchAll(/"([a-z_]+)"/g)].map((match) => String(match[1]));
  assert.equal(codes.length, 14);
  for (const code of codes) assert.notEqual(advise({ code }).title, unknown.title, code);
});

test("the server's own words are shown where only it knows the cause", () => {
  assert.equal(advise({ code: "bad_audio", message: "byte 12 is not a chunk" }).detail, "byte 12 is not a chunk");
  assert.equal(advise({ code: "denied", message: "NotAllowedError: Permission denied" }).detail, "");
  assert.equal(advise({ code: "of a newer server", message: "explained there" }).detail, "explained there");
});

test("a wait that the server asks for is told in whole seconds", () => {
  assert.match(advise({ code: "session_limit", retryAfter: 4.2 }).action, /wait 5 s\.$/);
  assert.doesNotMatch(advise({ code: "session_limit", retryAfter: 0 }).action, /wait \d/);
});

test("lost sound is counted in words that agree", () => {
  assert.equal(lostAudio(0.02).title, "1 second of sound was lost");
  assert.equal(lostAudio(12.4).title, "12 seconds of sound were lost");
});
