import assert from "node:assert/strict";
import { test } from "node:test";

import { microphoneProblem, problem, tabProblem } from "../../clients/chrome-extension/problems.js";
import { readAddress } from "../../clients/chrome-extension/settings.js";

test("an address is read as somebody types it", () => {
  /** @type {[unknown, string | null][]} */
  const cases = [
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080"],
    [" https://Voice.Example.org/rooms.html?x=1#y ", "https://voice.example.org"],
    ["localhost:8080", "http://localhost:8080"],
    ["127.0.0.1", "http://127.0.0.1"],
    ["[::1]:9000/", "http://[::1]:9000"],
    ["voice.example.org", "https://voice.example.org"],
    ["voice.example.org:8443", "https://voice.example.org:8443"],
    ["localhost.example.org", "https://localhost.example.org"],
    ["http://192.168.0.7:8080", "http://192.168.0.7:8080"],
    ["", null],
    ["   ", null],
    ["ftp://somewhere", null],
    ["ws://127.0.0.1:8080", null],
    ["javascript:alert(1)", null],
    ["https://somebody:secret@voice.example.org", null],
    ["two words", null],
    ["http://", null],
    ["http://[::", null],
    [null, null],
    [8080, null],
  ];
  for (const [typed, address] of cases) assert.equal(readAddress(typed), address, String(typed));
});

test("what Chrome says of a tab is told apart", () => {
  /** @type {[string, string][]} */
  const cases = [
    ["Extension has not been invoked for the current page (see activeTab permission). Chrome pages cannot be captured.", "not_invoked"],
    ["Cannot capture a tab with an active stream.", "tab_busy"],
    ["Invalid tab specified.", "tab_gone"],
    ["No tab with id: 7.", "tab_gone"],
    ["Chrome pages cannot be captured.", "tab_refused"],
  ];
  for (const [said, code] of cases) assert.equal(tabProblem(new Error(said)).code, code, said);
  const unknown = tabProblem(new DOMException("Error starting tab capture", "AbortError"));
  assert.equal(unknown.code, "capture_failed");
  assert.equal(unknown.detail, "AbortError: Error starting tab capture");
});

test("what the browser says of the microphone is told apart", () => {
  assert.equal(microphoneProblem(new DOMException("Permission dismissed", "NotAllowedError")).code, "microphone_refused");
  assert.equal(microphoneProblem(new DOMException("", "NotFoundError")).code, "no_microphone");
  assert.match(microphoneProblem(new DOMException("in use", "NotReadableError")).action, /Another program/);
});

test("every problem has something to do about it, a new one of the server too", () => {
  for (const code of ["no_target", "not_invoked", "tab_gone", "no_server", "unauthorized", "session_limit"]) {
    const { title, action } = problem(code);
    assert.notEqual(title, "");
    assert.notEqual(action, "");
  }
  assert.deepEqual(problem("new_code", { message: "the server said so", action: "" }), {
    code: "new_code",
    title: "the server said so",
    action: "Try again.",
    detail: "",
  });
});
