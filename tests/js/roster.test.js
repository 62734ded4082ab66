import assert from "node:assert/strict";
import { test } from "node:test";

import { Roster } from "../../src/antiphon/web/sdk/roster.js";
import { participant } from "./rtc-kit.js";

/** @param {number} eventId @param {object} [more] */
const said = (eventId, more = {}) => ({
  text: `text ${eventId}`,
  eventId,
  resultId: "r1",
  isPartial: true,
  speaker: "a",
  ...more,
});

test("who comes and who goes is the difference of two states", () => {
  const roster = new Roster();
  const first = roster.reset([participant("me"), participant("a")], "me");
  assert.deepEqual(
    first.joined.map(({ id, self }) => [id, self]),
    [
      ["me", true],
      ["a", false],
    ],
  );
  const second = roster.reset([participant("me2"), participant("b")], "me2");
  assert.deepEqual(second.joined.map(({ id }) => id), ["me2", "b"]);
  assert.deepEqual(second.left.map(({ id }) => id), ["me", "a"]);
});

test("a change is news once, and of strangers not at all", () => {
  const roster = new Roster();
  roster.reset([participant("a")], "me");
  assert.equal(roster.join(participant("a")), null);
  assert.equal(roster.mute("a", true), true);
  assert.equal(roster.mute("a", true), false);
  assert.equal(roster.speak("a", true), true);
  assert.equal(roster.speak("a", true), false);
  assert.equal(roster.speak("stranger", true), false);
  assert.equal(roster.leave("stranger"), null);
});

test("an m-line carries whom the server says, until that one leaves", () => {
  const roster = new Roster();
  roster.reset([participant("a"), participant("b")], "me");
  roster.assign([
    { mid: "0", participantId: "a" },
    { mid: "1", participantId: "b" },
    { mid: "2", participantId: null },
    null,
  ]);
  assert.deepEqual([...roster.slots], [["0", "a"], ["1", "b"]]);
  assert.deepEqual(roster.midsOf("b"), ["1"]);
  roster.leave("a");
  assert.deepEqual([...roster.slots], [["1", "b"]]);
  roster.assign("nonsense");
  assert.equal(roster.slots.size, 1);
});

test("a transcript that comes by two ways is told once, and none after a newer one", () => {
  const roster = new Roster();
  roster.reset([participant("a")], "me");
  assert.equal(roster.hear(said(1))?.user, "A");
  assert.equal(roster.hear({ text: "text 1", event_id: 1, result_id: "r1", is_partial: true, speaker: "a" }), null);
  assert.equal(roster.hear(said(3, { isPartial: false }))?.text, "text 3");
  assert.equal(roster.hear(said(2)), null);
  assert.equal(roster.hear(said(2, { speaker: "b" }))?.text, "text 2"); // another speaker's utterance
  assert.equal(roster.hear({ speaker: "a" }), null);
});

test("what is remembered of utterances is bounded, and the newest are kept", () => {
  const roster = new Roster();
  for (let i = 1; i <= 1_000; i++) assert.notEqual(roster.hear(said(i, { resultId: `r${i}` })), null);
  assert.equal(roster.hear(said(1_000, { resultId: "r1000" })), null);
  assert.notEqual(roster.hear(said(1, { resultId: "r1" })), null); // forgotten
});
