import assert from "node:assert/strict";
import { test } from "node:test";

import { RtcError } from "../../src/antiphon/web/sdk/errors.js";
import { SocketSignaling } from "../../src/antiphon/web/sdk/signaling.js";
import { VirtualTime, settle } from "./rtc-kit.js";

/** A Socket.IO socket whose server is the test. A double. */
class Wire {
  connected = false;
  /** @type {string | undefined} */
  id = undefined;
  connects = 0;
  disconnects = 0;
  /** @type {Map<string, (...data: any[]) => void>} */
  listeners = new Map();
  /** @type {{event: string, data: any, ack: (answer: unknown) => void}[]} */
  sent = [];

  connect() {
    this.connects++;
  }

  disconnect() {
    this.disconnects++;
    this.connected = false;
  }

  /** @param {string} event @param {(...data: any[]) => void} listener */
  on(event, listener) {
    this.listeners.set(event, listener);
  }

  /** @param {string} event */
  off(event) {
    this.listeners.delete(event);
  }

  /** @param {string} event @param {any} data @param {(answer: unknown) => void} [ack] */
  emit(event, data, ack = () => undefined) {
    this.sent.push({ event, data, ack });
  }

  /** @param {string} event @param {any} [data] */
  say(event, data) {
    this.listeners.get(event)?.(data);
  }

  /** @param {string} id */
  open(id) {
    this.connected = true;
    this.id = id;
    this.say("connect");
  }

  lose(reason = "transport close") {
    this.connected = false;
    this.id = undefined;
    this.say("disconnect", reason);
  }

  /** The newest message of a name. @param {string} event */
  last(event) {
    const found = this.sent.filter((message) => message.event === event).at(-1);
    assert.ok(found, `nothing was sent as ${event}`);
    return found;
  }

  /** Let the newest join-room in. @param {string} id @param {object[]} [others] */
  admit(id, others = []) {
    const participants = [{ socketId: id, userId: "me", role: "participant", joinedAt: 1 }, ...others];
    this.say("room-state", { roomId: "choir", mode: "relay", captions: { language_code: "en-US" }, participants });
    this.last("join-room").ack({ status: "joined", participantId: id, roomId: "choir", mode: "relay" });
  }
}

/** @param {object} [options] */
function rig(options = {}) {
  const [wire, time] = [new Wire(), new VirtualTime()];
  const signaling = new SocketSignaling(wire, { timers: time.timers, random: () => 1, ...options });
  /** @type {any[]} */
  const told = [];
  signaling.listen((event) => told.push(event));
  return { wire, time, signaling, told };
}

const MEMBERSHIP = { room: "choir", user: "me", role: "participant", mode: /** @type {const} */ ("relay"), captions: "en-US" };

/** @param {object[]} [others] */
async function joined(others) {
  const all = rig();
  const joining = all.signaling.join(MEMBERSHIP);
  all.wire.open("s1");
  all.wire.admit("s1", others);
  return { ...all, result: await joining };
}

test("joining asks as the contract says and resolves with who is there", async () => {
  const other = { socketId: "s0", userId: "Kassia", role: "participant", joinedAt: 0, muted: true, polite: true };
  const { wire, signaling, result } = await joined([other]);
  assert.deepEqual(wire.last("join-room").data, {
    roomId: "choir",
    userId: "me",
    role: "participant",
    mode: "relay",
    captions: { language_code: "en-US" },
  });
  assert.equal(result.id, "s1");
  assert.equal(result.state.captions, "en-US");
  assert.deepEqual(result.state.participants[1], {
    id: "s0",
    user: "Kassia",
    role: "participant",
    transport: "webrtc",
    muted: true,
    polite: true,
  });
  assert.equal(signaling.up, true);
});

test("a refused join rejects with the server's reason, and nothing goes on", async () => {
  const { wire, time, signaling } = rig({ own: true });
  const joining = signaling.join(MEMBERSHIP);
  wire.open("s1");
  wire.last("join-room").ack({ status: "error", error: { code: "session_limit", message: "it is full", retryable: true } });
  await assert.rejects(joining, (error) => error instanceof RtcError && error.code === "session_limit");
  assert.equal(time.waiting, 0);
  assert.equal(wire.disconnects, 1);
});

test("a refused connection rejects with the reason", async () => {
  const { wire, signaling } = rig();
  const joining = signaling.join(MEMBERSHIP);
  wire.say("connect_error", Object.assign(new Error("no key"), { data: { code: "unauthorized", message: "no key" } }));
  await assert.rejects(joining, (error) => error instanceof RtcError && error.code === "unauthorized");
});

test("a server that is not there is named after a while", async () => {
  const { time, signaling } = rig();
  const joining = signaling.join(MEMBERSHIP);
  time.move(10_000);
  await assert.rejects(joining, (error) => error instanceof RtcError && error.code === "unreachable");
  assert.equal(time.waiting, 0);
});

test("descriptions and candidates are addressed, and come back in every shape", async () => {
  const { wire, signaling, told } = await joined();
  signaling.signal("server", { type: "offer", sdp: "v=0" });
  assert.deepEqual(wire.last("offer").data, { roomId: "choir", targetSocketId: "server", sdp: { type: "offer", sdp: "v=0" } });
  signaling.signal("s0", { type: "candidate", candidate: { candidate: "candidate:1" } });
  assert.deepEqual(wire.last("ice-candidate").data.candidate, { candidate: "candidate:1" });
  signaling.signal("s0", { type: "candidate", candidate: null });
  assert.equal(wire.last("ice-candidate").data.candidate, null);

  wire.say("answer", { fromSocketId: "server", sdp: { type: "answer", sdp: "v=1" } });
  wire.say("offer", { fromSocketId: "s0", sdp: "v=2" });
  wire.say("ice-candidate", { fromSocketId: "s0", candidate: "a=candidate:2" });
  wire.say("offer", { fromSocketId: "s0" });
  wire.say("offer", null);
  assert.deepEqual(told, [
    { type: "signal", from: "server", signal: { type: "answer", sdp: "v=1" } },
    { type: "signal", from: "s0", signal: { type: "offer", sdp: "v=2" } },
    {
      type: "signal",
      from: "s0",
      signal: { type: "candidate", candidate: { candidate: "candidate:2", sdpMid: null, sdpMLineIndex: 0 } },
    },
  ]);
});

test("a lost connection is told, and the room joined again under the new id, mute included", async () => {
  const { wire, signaling, told } = await joined();
  signaling.mute(true);
  wire.lose();
  assert.equal(signaling.up, false);
  signaling.signal("server", { type: "offer", sdp: "v=0" });
  assert.equal(wire.sent.filter(({ event }) => event === "offer").length, 0);
  wire.open("s2");
  wire.admit("s2");
  await settle();
  assert.deepEqual(
    told.map(({ type }) => type),
    ["down", "rejoined"],
  );
  assert.equal(told[1].joined.id, "s2");
  assert.equal(wire.sent.filter(({ event }) => event === "mute").length, 2);
});

test("a rejoin that is refused for now is tried again, one that cannot succeed ends it", async () => {
  const { wire, time, told } = await joined();
  wire.lose();
  wire.open("s2");
  wire.last("join-room").ack({ status: "error", error: { code: "session_limit", message: "full", retryable: true, retryAfter: 5 } });
  time.move(4_999);
  assert.equal(wire.sent.filter(({ event }) => event === "join-room").length, 2);
  time.move(1);
  assert.equal(wire.sent.filter(({ event }) => event === "join-room").length, 3);
  wire.last("join-room").ack({ status: "error", error: { code: "forbidden", message: "no", retryable: false } });
  assert.equal(told.at(-1).type, "closed");
  assert.equal(told.at(-1).error.code, "forbidden");
  assert.equal(time.waiting, 0);
});

test("a client that the server sends away comes back, unless it is told not to", async () => {
  const first = await joined();
  first.wire.say("closing", { reason: "shutdown", reconnect: true });
  first.wire.lose("io server disconnect");
  first.time.move(500);
  assert.equal(first.wire.connects, 2);

  const second = await joined();
  second.wire.say("closing", { reason: "rate_limited", reconnect: false });
  second.wire.lose("io server disconnect");
  second.time.move(60_000);
  assert.equal(second.wire.connects, 1);
  assert.equal(second.told.at(-1).error.code, "closed_by_server");
});

test("a refused offer is told once, with whom it was for", async () => {
  const { wire, signaling, told } = await joined();
  signaling.signal("server", { type: "offer", sdp: "v=0" });
  const error = { code: "engine_unavailable", message: "no media", retryable: true, event: "offer" };
  wire.say("error", error);
  wire.last("offer").ack({ status: "error", error });
  assert.equal(told.length, 1);
  assert.deepEqual([told[0].type, told[0].about, told[0].error.code], ["error", "server", "engine_unavailable"]);
  wire.say("error", { ...error, targetSocketId: "server" }); // refused later, by the engine itself
  assert.equal(told.length, 2);
});

test("media that the server has let go of are told, unless newer ones took their place", async () => {
  const { wire, told } = await joined();
  wire.say("media-state", { participantId: "s1", state: "connected" });
  wire.say("media-state", { participantId: "s1", state: "closed", reason: "replaced" });
  assert.deepEqual(told, []);
  wire.say("media-state", { participantId: "s1", state: "closed", reason: "timeout" });
  assert.deepEqual(told, [{ type: "media-closed" }]);
});

test("captions that fail are no failure of the connection", async () => {
  const { wire, told } = await joined();
  wire.say("error", { code: "session_limit", message: "all 2 are taken", event: "captions" });
  assert.deepEqual([told[0].about, told[0].error.code, told[0].error.detail], [null, "no_captions", "all 2 are taken"]);
});

test("after leaving nothing is told any more", async () => {
  const { wire, signaling, told } = await joined();
  signaling.leave();
  assert.deepEqual(wire.last("leave-room").data, { roomId: "choir" });
  wire.say("peer-joined", { socketId: "s7" });
  wire.say("error", { code: "internal", message: "?" });
  wire.lose();
  assert.deepEqual(told, []);
  signaling.close();
  assert.equal(wire.listeners.size, 0);
});
