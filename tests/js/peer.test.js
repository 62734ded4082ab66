import assert from "node:assert/strict";
import { test } from "node:test";

import { CandidateQueue, readCandidate } from "../../src/antiphon/web/sdk/candidates.js";
import { RtcError } from "../../src/antiphon/web/sdk/errors.js";
import { Peer } from "../../src/antiphon/web/sdk/peer.js";
import { FakeConnection, VirtualTime, settle } from "./rtc-kit.js";

/** @typedef {import("../../src/antiphon/web/sdk/signaling.js").Signal} Signal */

/** One side, whose other side is the test. */
class Side {
  time = new VirtualTime();
  /** @type {FakeConnection[]} */
  connections = [];
  /** @type {Signal[]} */
  sent = [];
  /** @type {import("../../src/antiphon/web/sdk/peer.js").PeerEvent[]} */
  events = [];
  reaches = true;
  /** @type {(signal: Signal) => void} */
  onSend = () => undefined;

  /** @param {object} [options] */
  constructor(options = {}) {
    this.peer = new Peer({
      id: "other",
      polite: false,
      calls: true,
      listens: 0,
      track: /** @type {any} */ ({ kind: "audio" }),
      stream: null,
      configuration: () => ({ iceServers: [{ urls: `stun:${this.connections.length}` }] }),
      send: (signal) => {
        this.sent.push(signal);
        this.onSend(signal);
      },
      canSend: () => this.reaches,
      tell: (event) => this.events.push(event),
      create: (configuration) => {
        const connection = new FakeConnection(configuration);
        this.connections.push(connection);
        return /** @type {any} */ (connection);
      },
      timers: this.time.timers,
      random: () => 1,
      ...options,
    });
  }

  /** The connection in use. */
  get connection() {
    return /** @type {FakeConnection} */ (this.connections.at(-1));
  }

  get types() {
    return this.sent.splice(0).map(({ type }) => type);
  }

  /** @param {string} type */
  told(type) {
    return this.events.filter((event) => event.type === type);
  }

  async connected() {
    this.peer.start();
    await settle();
    await this.peer.take({ type: "answer", sdp: "v=0\r\no=- 1000 1 IN IP4 0.0.0.0\r\n" });
    this.connection.become("connected");
    this.sent = [];
    this.events = [];
  }
}

/** Two sides that hear each other. @param {object} [options] */
function pair(options = {}) {
  const a = new Side({ polite: true, ...options });
  const b = new Side({ polite: false });
  a.onSend = (signal) => void b.peer.take(signal);
  b.onSend = (signal) => void a.peer.take(signal);
  return { a, b };
}

/** @param {string} line */
const candidate = (line) => /** @type {Signal} */ ({ type: "candidate", candidate: { candidate: line, sdpMid: "0" } });

test("whoever calls sends an offer with the metadata channel and an m-line for each it wants to hear", async () => {
  const side = new Side({ listens: 3 });
  side.peer.start();
  await settle();
  assert.deepEqual(side.types, ["offer"]);
  assert.deepEqual(
    side.connection.channels.map(({ label, options }) => [label, options]),
    [["metadata", { ordered: true, maxRetransmits: 3 }]],
  );
  assert.deepEqual(
    side.connection.transceivers.map(({ direction }) => direction),
    ["sendrecv", "recvonly", "recvonly", "recvonly"],
  );
});

test("without a microphone nothing is sent, and as many are heard", async () => {
  const side = new Side({ listens: 3, track: null });
  side.peer.start();
  await settle();
  assert.deepEqual(
    side.connection.transceivers.map(({ direction }) => direction),
    ["recvonly", "recvonly", "recvonly", "recvonly"],
  );
});

test("candidates that come before the description wait for it, in their order", async () => {
  const side = new Side();
  side.peer.start();
  await settle();
  for (const line of ["candidate:1", "candidate:2"]) await side.peer.take(candidate(line));
  assert.deepEqual(side.connection.added, []);
  await side.peer.take({ type: "answer", sdp: "v=0\r\n" });
  await side.peer.take(candidate("candidate:3"));
  assert.deepEqual(side.connection.added, ["candidate:1", "candidate:2", "candidate:3"]);
  await side.peer.take({ type: "candidate", candidate: null });
  assert.equal(side.told("error").length, 0);
});

test("a flood of early candidates is bounded", () => {
  const queue = new CandidateQueue();
  for (let i = 0; i < 1000; i++) queue.keep({ candidate: `candidate:${i}` });
  assert.equal(queue.size, 128);
  assert.equal(queue.dropped, 872);
  assert.equal(queue.take()[0]?.candidate, "candidate:0");
});

test("a candidate is read in every shape that signaling carries", () => {
  const line = "candidate:1 1 udp 1 10.0.0.1 9 typ host";
  assert.deepEqual(readCandidate(`a=${line}`), { candidate: line, sdpMid: null, sdpMLineIndex: 0 });
  assert.deepEqual(readCandidate({ candidate: line, sdpMid: "0", sdpMLineIndex: 0, usernameFragment: "u" }), {
    candidate: line,
    sdpMid: "0",
    sdpMLineIndex: 0,
    usernameFragment: "u",
  });
  assert.deepEqual(readCandidate({ candidate: line }), { candidate: line, sdpMid: null, sdpMLineIndex: 0 });
  for (const none of [null, undefined, "", 7, [], {}, { candidate: "" }, { candidate: 5 }]) {
    assert.equal(readCandidate(none), null);
  }
});

test("when two offers cross, the polite side gives way and both agree", async () => {
  const { a, b } = pair();
  a.peer.start();
  b.peer.start();
  await settle();
  assert.equal(a.connection.signalingState, "stable");
  assert.equal(b.connection.signalingState, "stable");
  assert.deepEqual(a.types, ["offer", "answer"]);
  assert.deepEqual(b.types, ["offer"]);
  assert.equal(b.connection.remoteDescription?.type, "answer");
  assert.equal(a.connections.length + b.connections.length, 2);
  assert.equal(a.told("error").length + b.told("error").length, 0);
});

test("whoever is called adds its sound to the answer, and calls by itself when nobody does", async () => {
  const { a, b } = pair({ calls: false });
  a.peer.start();
  await settle();
  assert.deepEqual(a.types, []);
  b.peer.start();
  await settle();
  assert.deepEqual(a.types, ["answer"]);
  assert.equal(a.connection.transceivers.length, 1);

  const alone = new Side({ calls: false });
  alone.peer.start();
  alone.time.move(7_999);
  await settle();
  assert.deepEqual(alone.types, []);
  alone.time.move(1);
  await settle();
  assert.deepEqual(alone.types, ["offer"]);
});

test("an interruption that mends itself changes nothing; one that lasts brings an ICE restart", async () => {
  const side = new Side();
  await side.connected();
  side.connection.become("disconnected");
  side.time.move(1_999);
  side.connection.become("connected");
  side.time.move(60_000);
  await settle();
  assert.equal(side.connection.restarts, 0);
  assert.deepEqual(side.types, []);

  side.events = [];
  side.connection.become("disconnected");
  side.time.move(2_000);
  await settle();
  assert.equal(side.connection.restarts, 1);
  assert.deepEqual(side.types, ["offer"]);
  assert.deepEqual(
    side.events.map(({ type }) => type),
    ["interrupted", "reconnecting"],
  );
  side.connection.become("connected");
  side.time.move(60_000);
  assert.equal(side.connections.length, 1);
});

test("an ICE restart uses the newest credentials", async () => {
  const side = new Side();
  await side.connected();
  side.connection.become("disconnected");
  side.time.move(2_000);
  assert.deepEqual(side.connection.configuration.iceServers, [{ urls: "stun:1" }]);
});

test("an ICE restart that does not help brings a new connection with a fresh offer", async () => {
  const side = new Side();
  await side.connected();
  side.connection.become("disconnected");
  side.time.move(2_000);
  await settle();
  side.sent = [];
  side.time.move(10_000); // the restart's own time
  assert.equal(side.peer.state, "waiting");
  side.time.move(1_000);
  await settle();
  assert.equal(side.connections.length, 2);
  assert.equal(side.connections[0]?.closed, true);
  assert.deepEqual(side.types, ["offer"]);
});

test("failed connections are made anew with waits that double up to a cap, and given up at last", async () => {
  const side = new Side();
  await side.connected();
  const delays = [];
  for (let i = 0; i < 7; i++) {
    side.connection.become("failed");
    const [event] = side.told("reconnecting").slice(-1);
    delays.push(event?.type === "reconnecting" ? event.delay : null);
    side.time.move(delays.at(-1) ?? 0);
    await settle();
    assert.equal(side.connections.length, i + 2);
  }
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
  for (let i = 0; i < 30; i++) {
    side.connection.become("failed");
    side.time.move(20_000);
    await settle();
  }
  const [failed] = side.told("failed");
  assert.equal(failed?.type === "failed" && failed.error.code, "connection_failed");
  assert.equal(side.peer.state, "failed");
  assert.equal(side.time.waiting, 0);
});

test("the waits are drawn anew each time: full jitter", async () => {
  const draws = [0.25, 0.5];
  const side = new Side({ random: () => draws.shift() ?? 1 });
  await side.connected();
  const delays = [];
  for (let i = 0; i < 2; i++) {
    side.connection.become("failed");
    const [event] = side.told("reconnecting").slice(-1);
    if (event?.type === "reconnecting") delays.push(event.delay);
    side.time.move(5_000);
    await settle();
  }
  assert.deepEqual(delays, [250, 1_000]);
});

test("a success ends the doubling", async () => {
  const side = new Side();
  await side.connected();
  for (let i = 0; i < 3; i++) {
    side.connection.become("failed");
    side.time.move(20_000);
    await settle();
  }
  side.connection.become("connected");
  side.events = [];
  side.connection.become("failed");
  const [event] = side.told("reconnecting");
  assert.equal(event?.type === "reconnecting" && event.delay, 1_000);
});

test("while signaling is down nothing is given up", async () => {
  const side = new Side();
  await side.connected();
  side.reaches = false;
  side.connection.become("failed");
  side.time.move(3_600_000);
  await settle();
  assert.equal(side.told("failed").length, 0);
  side.reaches = true;
  side.time.move(20_000);
  await settle();
  assert.equal(side.connections.length, 2);
});

test("an offer that nobody answers is made again", async () => {
  const side = new Side();
  side.peer.start();
  await settle();
  side.time.move(16_000);
  await settle();
  assert.deepEqual(side.types, ["offer", "offer"]);
  assert.equal(side.connections.length, 2);
});

test("a new connection of the other side is met with one of our own", async () => {
  const { a, b } = pair({ calls: false });
  a.peer.start();
  b.peer.start();
  await settle();
  a.connection.become("connected");
  b.connection.become("connected");
  b.connection.become("failed");
  b.time.move(1_000);
  await settle();
  assert.equal(b.connections.length, 2);
  assert.equal(a.connections.length, 2);
  assert.equal(a.connections[0]?.closed, true);
  assert.equal(b.connection.remoteDescription?.type, "answer");
});

test("an offer that comes while a new attempt is waited for takes its place", async () => {
  const { a, b } = pair({ calls: false });
  a.peer.start();
  b.peer.start();
  await settle();
  a.connection.become("connected");
  b.connection.become("connected");
  a.connection.become("failed");
  b.connection.become("failed");
  b.time.move(1_000);
  await settle();
  a.connection.become("connected");
  a.time.move(10_000);
  await settle();
  assert.equal(a.connections.length, 2);
});

test("an answer to an offer that was taken back is no error", async () => {
  const side = new Side();
  await side.connected();
  await side.peer.take({ type: "answer", sdp: "v=0\r\n" });
  assert.equal(side.told("error").length, 0);
  assert.equal(side.peer.state, "connected");
});

test("a description that cannot be used is told, and another attempt made", async () => {
  const side = new Side();
  side.peer.start();
  await settle();
  side.connection.refuses = true;
  await side.peer.take({ type: "answer", sdp: "nonsense" });
  const [error] = side.told("error");
  assert.equal(error?.type === "error" && error.error.code, "bad_description");
  side.time.move(1_000);
  await settle();
  assert.equal(side.connections.length, 2);
});

test("a refusal that cannot change is final, another is not", async () => {
  const final = new Side();
  final.peer.start();
  final.peer.refused(new RtcError("bad_message"));
  assert.equal(final.peer.state, "failed");
  assert.equal(final.time.waiting, 0);

  const full = new Side();
  full.peer.start();
  full.peer.refused(new RtcError("rate_limited", { retryable: true, retryAfter: 5 }));
  assert.equal(full.peer.state, "waiting");
  full.time.move(4_999);
  await settle();
  assert.equal(full.connections.length, 1);
  full.time.move(1);
  await settle();
  assert.equal(full.connections.length, 2);
});

test("a connection that the other side has let go of is made anew, once", async () => {
  const side = new Side();
  await side.connected();
  side.peer.lost();
  side.peer.lost();
  assert.equal(side.told("reconnecting").length, 1);
  side.time.move(1_000);
  await settle();
  assert.equal(side.connections.length, 2);
});

test("what is waited for can be hurried", async () => {
  const side = new Side();
  await side.connected();
  side.connection.become("disconnected");
  side.peer.hurry();
  await settle();
  assert.equal(side.connection.restarts, 1);
  side.connection.become("failed");
  side.peer.hurry();
  await settle();
  assert.equal(side.connections.length, 2);
});

test("messages go both ways, and what is no object is an empty one", async () => {
  const side = new Side();
  await side.connected();
  assert.equal(side.peer.send({ type: "ping", t: 1 }), true);
  assert.deepEqual(side.connection.channels[0]?.sent, ['{"type":"ping","t":1}']);
  const channel = { label: "metadata", onmessage: /** @type {any} */ (null) };
  side.connection.ondatachannel?.({ channel });
  channel.onmessage({ data: '{"type":"hello"}' });
  channel.onmessage({ data: "[1" });
  assert.deepEqual(
    side.told("message").map((event) => event.type === "message" && event.data),
    [{ type: "hello" }, {}],
  );
});

test("a microphone that comes later is sent on the m-line that only heard", async () => {
  const side = new Side({ track: null });
  side.peer.start();
  await settle();
  const [transceiver] = side.connection.transceivers;
  /** @type {any} */
  let sent = null;
  transceiver.sender = { replaceTrack: async (/** @type {any} */ track) => void (sent = track) };
  const track = /** @type {any} */ ({ kind: "audio" });
  await side.peer.replaceTrack(track);
  assert.equal(sent, track);
  assert.equal(transceiver.direction, "sendrecv");
});

test("after close nothing waits, nothing is told and nothing is sent", async () => {
  const side = new Side();
  await side.connected();
  side.connection.become("disconnected");
  const { connection } = side;
  side.peer.close();
  side.events = [];
  connection.become("failed");
  await side.peer.take({ type: "offer", sdp: "v=0\r\n" });
  side.time.move(600_000);
  await settle();
  assert.equal(connection.closed, true);
  assert.equal(side.time.waiting, 0);
  assert.deepEqual(side.events, []);
  assert.deepEqual(side.types, []);
});
