import assert from "node:assert/strict";
import { test } from "node:test";

import { onlyTransport, titleOf, verdict } from "../../src/antiphon/web/sdk/connection-check.js";
import { eachAddress } from "../../src/antiphon/web/sdk/ice-servers.js";

/** @typedef {import("../../src/antiphon/web/sdk/connection-check.js").Finding} Finding */

const SDP = [
  "v=0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=candidate:1 1 udp 2130706431 192.0.2.1 8443 typ host",
  "a=candidate:2 1 TCP 1671430143 192.0.2.1 8443 typ host tcptype passive",
  "a=end-of-candidates",
  "",
].join("\r\n");

test("a description is left with the candidates of one transport", () => {
  const udp = onlyTransport(SDP, "udp");
  assert.match(udp, /8443 typ host\r\n/);
  assert.doesNotMatch(udp, /tcptype/);
  const tcp = onlyTransport(SDP, "tcp");
  assert.match(tcp, /tcptype passive\r\n/);
  assert.doesNotMatch(tcp, / udp /);
  assert.match(tcp, /a=end-of-candidates\r\n$/);
});

test("each address of each server is tried by itself with its own credentials", () => {
  const servers = [
    { urls: "stun:a.example" },
    { urls: ["turn:a.example?transport=udp", "turns:a.example:5349"], username: "u", credential: "c" },
  ];
  assert.deepEqual(eachAddress(servers), [
    { url: "stun:a.example", server: { urls: "stun:a.example" } },
    {
      url: "turn:a.example?transport=udp",
      server: { urls: "turn:a.example?transport=udp", username: "u", credential: "c" },
    },
    { url: "turns:a.example:5349", server: { urls: "turns:a.example:5349", username: "u", credential: "c" } },
  ]);
});

test("an address is called by what it is", () => {
  assert.equal(titleOf("stun:a.example:3478"), "STUN, a.example:3478");
  assert.equal(titleOf("turn:a.example:3478"), "TURN by UDP, a.example:3478");
  assert.equal(titleOf("turn:a.example:3478?transport=tcp"), "TURN by TCP, a.example:3478");
  assert.equal(titleOf("turns:a.example:5349?transport=tcp"), "TURN by TLS, a.example:5349");
});

/** @param {Record<string, import("../../src/antiphon/web/sdk/connection-check.js").Status>} statuses @returns {Finding[]} */
const findings = (statuses) =>
  Object.entries(statuses).map(([id, status]) => ({ id, title: id, status, detail: "", action: "" }));

test("the verdict names the best way that is open", () => {
  /** @type {Parameters<typeof findings>[0]} */
  const all = { websocket: "ok", microphone: "ok", "media-udp": "ok", "media-tcp": "ok" };
  /** @param {Parameters<typeof findings>[0]} changes */
  const of = (changes) => verdict(findings({ ...all, ...changes }));
  assert.match(of({}), /directly/);
  assert.match(of({ microphone: "blocked" }), /directly.*microphone cannot be used/);
  assert.match(of({ "media-udp": "blocked" }), /UDP is blocked.*TCP/);
  assert.match(
    of({ "media-udp": "blocked", "media-tcp": "blocked", "turn:a": "blocked", "turns:a": "ok" }),
    /TURN server only/,
  );
  assert.match(of({ "media-udp": "blocked", "media-tcp": "blocked", "turn:a": "blocked" }), /No sound gets through/);
  assert.match(of({ websocket: "blocked" }), /nothing works/);
  assert.match(of({ "media-udp": "skipped", "media-tcp": "skipped" }), /browsers have to reach each other/);
});
