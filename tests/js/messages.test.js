import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { advise, lostAudio } from "../../src/antiphon/web/messages.js";
import { RtcError } from "../../src/antiphon/web/sdk/errors.js";

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

test("every way in which capture fails has its own words, here and in the SDK", () => {
  const files = ["audio-capture", "capture-graph", "capture-sources", "microphone"];
  const codes = files.flatMap((file) => {
    const source = readFileSync(new URL(`../../src/antiphon/web/sdk/${file}.js`, import.meta.url), "utf8");
    const thrown = [...source.matchAll(/(?:new RtcError|because)\("([a-z_]+)"/g)];
    const returned = [...source.matchAll(/(?:return |: |\? |\?\? |=> )"([a-z]+_[a-z_]+|insecure|denied|dismissed)"/g)];
    return [...thrown, ...returned].map((match) => String(match[1]));
  });
  const mistakes = new Set(["already_started", "not_started", "closed", "stream_ended", "no_encoder"]); // of a programmer
  const found = new Set(codes.filter((code) => !mistakes.has(code)));
  assert.ok(found.size >= 13, `only ${[...found]} found`);
  for (const code of found) {
    assert.notEqual(advise({ code }).title, unknown.title, code);
    assert.notEqual(new RtcError(code).action, "", code);
  }
  for (const code of mistakes) assert.notEqual(new RtcError(code).action, "", code);
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
