import assert from "node:assert/strict";
import { test } from "node:test";

import { RtcError } from "../../src/antiphon/web/sdk/errors.js";
import { WebRTCManager } from "../../src/antiphon/web/sdk/webrtc-manager.js";
import { FakeConnection, FakeSignaling, VirtualTime, participant, settle } from "./rtc-kit.js";

const ANSWER = "v=0\r\no=- 9 1 IN IP4 0.0.0.0\r\n";

/** A microphone's sound, as far as a manager touches it. A double. */
function microphone() {
  const track = { kind: "audio", enabled: true, stopped: false, onended: null, stop: () => void (track.stopped = true) };
  const stream = /** @type {any} */ ({ getAudioTracks: () => [track], getTracks: () => [track] });
  return { track, stream };
}

class Rig {
  time = new VirtualTime();
  signaling = new FakeSignaling();
  /** @type {FakeConnection[]} */
  connections = [];
  /** @type {[string, any][]} */
  events = [];
  sound = microphone();

  /** @param {object} [options] */
  constructor(options = {}) {
    this.manager = new WebRTCManager({
      server: "http://127.0.0.1:1",
      signaling: this.signaling,
      iceServers: [{ urls: "stun:stun.example" }],
      create: (configuration) => {
        const connection = new FakeConnection(configuration);
        this.connections.push(connection);
        return /** @type {any} */ (connection);
      },
      timers: this.time.timers,
      random: () => 1,
      ...options,
    });
    const names = /** @type {const} */ ([
      "state", "connected", "disconnected", "reconnecting", "failed", "room", "peer-joined", "peer-left", "peer-muted",
      "speaking", "slots", "transcript", "message", "muted", "error",
    ]);
    for (const name of names) this.manager.on(name, (detail) => this.events.push([name, detail]));
  }

  get connection() {
    return /** @type {FakeConnection} */ (this.connections.at(-1));
  }

  /** @param {string} name @returns {any[]} */
  told(name) {
    return this.events.filter(([event]) => event === name).map(([, detail]) => detail);
  }

  /** In a room, connected to the media server. */
  async inside() {
    await this.manager.initialize({ stream: this.sound.stream });
    await this.manager.join({ room: "choir", user: "Me" });
    await settle();
    if (this.connections.length === 0) return;
    this.signaling.tell({ type: "signal", from: "server", signal: { type: "answer", sdp: ANSWER } });
    await settle();
    this.connection.become("connected");
  }

  /** @param {object} data From the media server, over the metadata channel. */
  say(data) {
    const [channel] = /** @type {any[]} */ (this.connection.channels);
    channel.onmessage({ data: JSON.stringify(data) });
  }
}

/** @param {string} code @returns {(error: unknown) => boolean} */
const withCode = (code) => (error) => error instanceof RtcError && error.code === code && error.action !== "";

test("a connection is configured for one bundled, multiplexed transport with gathered candidates at hand", async () => {
  const rig = new Rig();
  await rig.inside();
  assert.deepEqual(rig.connection.configuration, {
    iceServers: [{ urls: "stun:stun.example" }],
    iceTransportPolicy: "all",
    iceCandidatePoolSize: 10,
    bundlePolicy: "max-bundle",
    rtcpMuxPolicy: "require",
  });
  const relayed = new Rig({ iceTransportPolicy: "relay" });
  await relayed.inside();
  assert.equal(relayed.connection.configuration.iceTransportPolicy, "relay");
});

test("it goes from new to connected, and tells each step", async () => {
  const rig = new Rig();
  assert.equal(rig.manager.state, "new");
  await rig.inside();
  assert.deepEqual(
    rig.told("state").map(({ state }) => state),
    ["ready", "joining", "connecting", "connected"],
  );
  assert.deepEqual(rig.told("connected"), [{ peer: "server" }]);
  assert.equal(rig.manager.id, "me");
  assert.deepEqual(rig.manager.participants.map(({ id, self }) => [id, self]), [["me", true], ["a", false]]);
});

test("calls in the wrong order say which comes first", async () => {
  const { manager, sound } = new Rig();
  await assert.rejects(manager.join({ room: "choir", user: "Me" }), withCode("not_initialized"));
  assert.throws(() => manager.createOffer(), withCode("not_initialized"));
  assert.throws(() => manager.mute(), withCode("not_initialized"));
  await manager.initialize({ stream: sound.stream });
  await assert.rejects(manager.initialize({ stream: null }), withCode("already_initialized"));
  assert.throws(() => manager.createOffer(), withCode("not_joined"));
  assert.throws(() => manager.handleAnswer(ANSWER), withCode("not_joined"));
  await manager.join({ room: "choir", user: "Me" });
  await assert.rejects(manager.join({ room: "choir", user: "Me" }), withCode("already_joined"));
  assert.throws(() => manager.handleIceCandidate(null, "stranger"), withCode("no_peer"));
  manager.close();
  assert.throws(() => manager.mute(), withCode("closed"));
  await assert.rejects(manager.join({ room: "choir", user: "Me" }), withCode("closed"));
});

test("without WebRTC it says so", async () => {
  const manager = new WebRTCManager({ server: "http://127.0.0.1:1", signaling: new FakeSignaling() });
  await assert.rejects(manager.initialize({ stream: null }), withCode("no_webrtc"));
});

test("a join that the server refuses can be tried again", async () => {
  const rig = new Rig();
  await rig.manager.initialize({ stream: rig.sound.stream });
  rig.signaling.refusal = new RtcError("session_limit");
  await assert.rejects(rig.manager.join({ room: "choir", user: "Me" }), { code: "session_limit" });
  assert.equal(rig.manager.state, "ready");
  rig.signaling.refusal = null;
  await rig.manager.join({ room: "choir", user: "Me" });
  assert.equal(rig.manager.state, "connecting");
});

test("with the media server there is one connection, which hears four people", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.signaling.tell({ type: "peer-joined", participant: participant("b") });
  await settle();
  assert.equal(rig.connections.length, 1);
  assert.equal(rig.connection.transceivers.length, 4);
  assert.deepEqual(rig.signaling.take(), ["server offer"]);
});

test("directly there is a connection for each of the others, and whoever comes calls", async () => {
  const rig = new Rig({ topology: "peers" });
  await rig.manager.initialize({ stream: rig.sound.stream });
  rig.signaling.participants.push(participant("phone", { transport: "websocket" }));
  await rig.manager.join({ room: "choir", user: "Me" });
  await settle();
  assert.deepEqual(rig.signaling.take(), ["a offer"]);
  rig.signaling.tell({ type: "peer-joined", participant: participant("b", { polite: false }) });
  await settle();
  assert.deepEqual(rig.signaling.take(), []);
  rig.signaling.tell({ type: "signal", from: "b", signal: { type: "offer", sdp: ANSWER } });
  await settle();
  assert.deepEqual(rig.signaling.take(), ["b answer"]);
  assert.equal(rig.manager.peerState("a"), "connecting");
  rig.signaling.tell({ type: "peer-left", id: "a" });
  assert.equal(rig.connections[0]?.closed, true);
  assert.equal(rig.manager.peerState("a"), null);
});

test("somebody who connects directly reaches those who talk through the server, and a stranger nobody", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.signaling.take();
  rig.signaling.tell({ type: "signal", from: "stranger", signal: { type: "offer", sdp: ANSWER } });
  rig.signaling.tell({ type: "signal", from: "a", signal: { type: "offer", sdp: ANSWER } });
  await settle();
  assert.deepEqual(rig.signaling.take(), ["a answer"]);
});

test("mute silences the track and tells the others, once", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.manager.mute();
  rig.manager.mute();
  assert.equal(rig.sound.track.enabled, false);
  assert.deepEqual(rig.signaling.mutes, [true]);
  assert.deepEqual(rig.told("muted"), [{ muted: true }]);
  rig.manager.unmute();
  assert.equal(rig.sound.track.enabled, true);
  rig.signaling.tell({ type: "peer-muted", id: "a", muted: true });
  rig.signaling.tell({ type: "peer-muted", id: "a", muted: true });
  assert.deepEqual(rig.told("peer-muted"), [{ participantId: "a", muted: true }]);
});

test("one who is muted before joining comes in muted", async () => {
  const rig = new Rig();
  await rig.manager.initialize({ stream: rig.sound.stream });
  rig.manager.mute();
  await rig.manager.join({ room: "choir", user: "Me" });
  assert.equal(rig.signaling.mutes.at(-1), true);
  assert.equal(rig.manager.participants.find(({ self }) => self)?.muted, true);
});

test("what comes by both ways is told once: speaking and transcripts", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.say({ type: "speaking", participantId: "a", active: true });
  rig.signaling.tell({ type: "speaking", id: "a", active: true });
  assert.deepEqual(rig.told("speaking"), [{ participantId: "a", active: true }]);
  const wire = { text: "go", eventId: 5, resultId: "r", isPartial: false, speaker: "a" };
  rig.say({ type: "transcript", ...wire });
  rig.signaling.tell({ type: "transcript", wire });
  assert.deepEqual(rig.told("transcript").map(({ user, text }) => [user, text]), [["A", "go"]]);
});

test("whom an m-line carries is told, other messages are passed on", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.say({ type: "slots", slots: [{ mid: "1", participantId: "a" }] });
  assert.deepEqual([...rig.told("slots")[0].slots], [["1", "a"]]);
  rig.say({ type: "error", code: "rate_limited", message: "too many messages" });
  assert.equal(rig.told("error")[0].error.code, "rate_limited");
  rig.say({ type: "pong", t: 1 });
  assert.deepEqual(rig.told("message"), [{ peer: "server", data: { type: "pong", t: 1 } }]);
  assert.equal(rig.manager.send({ type: "ping", t: 2 }), true);
  assert.deepEqual(rig.connection.channels[0]?.sent, ['{"type":"ping","t":2}']);
});

test("an interruption is told, mended, and told again", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.events = [];
  rig.connection.become("disconnected");
  rig.time.move(2_000);
  await settle();
  rig.connection.become("connected");
  assert.deepEqual(
    rig.events.map(([name, detail]) => `${name} ${detail.state ?? detail.by ?? ""}`.trim()),
    ["state reconnecting", "disconnected", "reconnecting ice-restart", "state connected", "connected"],
  );
});

test("after signaling was lost every connection is made anew under the new id", async () => {
  const rig = new Rig();
  await rig.inside();
  const [before] = rig.connections;
  rig.signaling.up = false;
  rig.signaling.tell({ type: "down" });
  assert.equal(rig.manager.state, "reconnecting");
  assert.equal(before?.closed, false); // the sound goes on
  rig.signaling.up = true;
  rig.signaling.participants = [participant("me2"), participant("b")];
  rig.signaling.tell({ type: "rejoined", joined: rig.signaling.joined("me2") });
  await settle();
  assert.equal(before?.closed, true);
  assert.equal(rig.connections.length, 2);
  assert.equal(rig.manager.id, "me2");
  assert.deepEqual(rig.told("peer-left").map(({ id }) => id).sort(), ["a", "me"]);
  assert.deepEqual(rig.told("peer-joined").map(({ id }) => id), ["a", "b"]);
});

test("a room told again brings what was missed", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.events = [];
  const participants = [participant("me"), participant("b", { muted: true })];
  rig.signaling.tell({ type: "state", state: { room: "choir", mode: "relay", captions: null, participants } });
  assert.deepEqual(rig.events.map(([name]) => name), ["peer-left", "peer-joined"]);
  assert.equal(rig.manager.participants.find(({ id }) => id === "b")?.muted, true);
  assert.equal(rig.connections.length, 1);
});

test("when the server will not have it any more, everything is let go of", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.signaling.tell({ type: "closed", error: new RtcError("forbidden") });
  assert.equal(rig.manager.state, "failed");
  assert.equal(rig.connection.closed, true);
  assert.equal(rig.told("failed")[0].error.code, "forbidden");
  rig.manager.leave();
  assert.equal(rig.manager.state, "ready");
});

test("leave keeps the microphone for the next room", async () => {
  const rig = new Rig();
  await rig.inside();
  rig.manager.leave();
  rig.manager.leave();
  assert.equal(rig.signaling.left, 1);
  assert.equal(rig.connection.closed, true);
  assert.equal(rig.sound.track.stopped, false);
  await rig.manager.join({ room: "other", user: "Me" });
  assert.equal(rig.connections.length, 2);
});

test("close lets go of everything, once, and tells nothing after", async () => {
  const rig = new Rig({ topology: "peers" });
  await rig.inside();
  rig.manager.close();
  const told = rig.events.length;
  rig.manager.close();
  rig.signaling.tell({ type: "peer-joined", participant: participant("z") });
  rig.time.move(600_000);
  await settle();
  assert.equal(rig.signaling.closed, 1);
  assert.ok(rig.connections.every(({ closed }) => closed));
  assert.equal(rig.time.waiting, 0);
  assert.equal(rig.events.length, told);
  assert.equal(rig.manager.state, "closed");
  assert.equal(rig.sound.track.stopped, false); // it was the caller's
});
