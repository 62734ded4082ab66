import assert from "node:assert/strict";
import { test } from "node:test";

import { RtcError } from "../../src/antiphon/web/sdk/errors.js";
import { Rig } from "./stream-kit.js";

/** @param {number} from @param {number} to */
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

/** @param {number} eventId @param {object} [more] */
const final = (eventId, more = {}) => ({
  type: "transcript",
  eventId,
  resultId: `r${eventId}`,
  text: "go",
  isPartial: false,
  start: 0,
  end: 0.2,
  language: "en-US",
  speaker: "p1",
  ...more,
});

test("a stream joins with what it will send, and then sends numbered frames of 20 ms", async (context) => {
  const rig = await Rig.open(context);
  const { line, join } = await rig.live();
  assert.deepEqual(join, {
    type: "join",
    role: "speaker",
    language: "en-US",
    format: { codec: "pcm_s16le", sampleRate: 16000, channels: 1 },
    framing: "rtp",
  });
  rig.speak(3, 100);
  const frames = [await line.frame(), await line.frame(), await line.frame()];
  assert.deepEqual(frames.map((frame) => [frame.sequence, frame.timestamp, frame.sample]), [
    [0, 0, 100],
    [1, 320, 101],
    [2, 640, 102],
  ]);
});

test("what is said before the server answers is sent when it does", async (context) => {
  const rig = await Rig.open(context);
  void rig.stream.connect();
  rig.speak(5);
  const { line } = await rig.line();
  rig.speak(5, 5);
  line.joined();
  assert.deepEqual(await line.frames(10), range(0, 10));
});

test("after a lost connection the stream resumes and sends again from the frame the server wants", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(10);
  await line.frames(10);
  line.say(final(7));
  line.say({ type: "ack", seq: 4 });
  await rig.told("transcript");
  line.socket.terminate();
  const { retryAt } = await rig.phase("waiting");
  rig.speak(5, 10);
  rig.time.move(retryAt - rig.time.timers.now());
  const second = await rig.line();
  assert.deepEqual(second.join["resume"], { token: "t1", lastEventId: 7 });
  assert.equal(second.join["sessionId"], "s1");
  second.line.joined({ nextSeq: 6 });
  const first = await second.line.frame();
  assert.deepEqual([first.sequence, first.timestamp, first.sample], [6, 6 * 320, 6]);
  assert.deepEqual(await second.line.frames(8), range(7, 15));
  await rig.phase("live");
});

test("sequence numbers go on past 65535, on the wire and in what the server wants", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  const total = 65_540;
  for (let sent = 0; sent < total; sent += 50) {
    rig.speak(Math.min(50, total - sent));
    await line.frames(Math.min(50, total - sent));
    line.say({ type: "speaking", eventId: sent + 1, participantId: "p1", active: true });
    await rig.told("speaking"); // a server that is heard of is not taken for dead
    rig.time.move(1000);
  }
  line.socket.terminate();
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.joined({ nextSeq: 65_537 });
  const frame = await again.frame();
  assert.deepEqual([frame.sequence, frame.timestamp], [1, 65_537 * 320]);
});

test("events that come twice are told once", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.events.drain();
  line.say(final(3));
  line.say(final(3));
  line.say(final(2));
  line.say(final(4));
  const first = await rig.told("transcript");
  const second = await rig.told("transcript");
  assert.deepEqual([first.resultId, second.resultId], ["r3", "r4"]);
});

test("where the server has forgotten the session, a new one begins after the last final", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  await rig.told("take").catch(() => undefined);
  rig.speak(40);
  await line.frames(40);
  line.say({ type: "ack", seq: 39 });
  line.say(final(9, { end: 0.315 }));
  await rig.told("transcript");
  line.socket.terminate();
  await rig.phase("waiting");
  rig.time.move(500);
  const second = await rig.line();
  second.line.say({ type: "error", code: "not_found", message: "gone", retryable: false });
  const fresh = await second.line.control("join");
  assert.ok(!("resume" in fresh) && !("sessionId" in fresh));
  second.line.joined({ sessionId: "s2", resumeToken: "t2", nextSeq: 0 });
  assert.deepEqual(await rig.told("take"), { type: "take", offset: 0.3, fresh: false });
  const first = await second.line.frame();
  assert.deepEqual([first.sequence, first.sample], [0, 15]);
  assert.deepEqual(await second.line.frames(24), range(16, 40));

  second.line.say(final(1, { end: 0.1 }));
  assert.equal((await rig.told("transcript")).resultId, "r1");
});

test("an outage longer than what is kept is told in seconds, and the rest is sent", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  line.socket.terminate();
  await rig.phase("waiting");
  rig.speak(1600);
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.joined({ nextSeq: 0 });
  assert.deepEqual(await rig.told("lost"), { type: "lost", frames: 100, seconds: 2, total: 100 });
  const frame = await again.frame();
  assert.deepEqual([frame.sequence, frame.sample], [100, 100]);
});

test("a backlog is sent in a burst of a second and then at four times real time", async (context) => {
  const rig = await Rig.open(context);
  void rig.stream.connect();
  rig.speak(500);
  const { line } = await rig.line();
  line.joined();
  await rig.phase("live");
  assert.deepEqual(await line.frames(50), range(0, 50));
  rig.time.move(1000);
  assert.deepEqual(await line.frames(200), range(50, 250));
  line.say({ type: "ack", seq: 249 });
  line.say({ type: "speaking", eventId: 1, participantId: "p1", active: true });
  await rig.told("speaking"); // by now all that was sent has arrived
  assert.deepEqual(line.inbox.drain().filter((item) => item.kind === "frame"), []);
});

test("after rate_limited the stream pauses, and goes on from the first frame that was not taken", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(20);
  await line.frames(20);
  line.say({ type: "ack", seq: 11 });
  line.say({ type: "error", code: "rate_limited", message: "slower", retryable: true, retryAfter: 2 });
  line.say({ type: "speaking", eventId: 1, participantId: "p1", active: true });
  await rig.told("speaking");
  rig.speak(5, 20);
  rig.time.move(1999);
  assert.deepEqual(line.inbox.drain().filter((item) => item.kind === "frame"), []);
  rig.time.move(1);
  assert.deepEqual(await line.frames(13), range(12, 25));
});

test("backoff doubles to a cap of 15 s, and begins anew once the server has taken something", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  line.socket.terminate();
  const waits = [];
  for (let i = 0; i < 7; i++) {
    const { retryAt } = await rig.phase("waiting");
    waits.push(retryAt - rig.time.timers.now());
    rig.time.move(retryAt - rig.time.timers.now());
    const { line: again } = await rig.line();
    again.joined();
    await rig.phase("live");
    again.socket.terminate();
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  await rig.phase("waiting");
  rig.stream.retryNow();
  const { line: steady } = await rig.line();
  steady.joined();
  rig.speak(1);
  await steady.frame();
  steady.say({ type: "ack", seq: 0 });
  steady.socket.close();
  const { retryAt } = await rig.phase("waiting");
  assert.equal(retryAt - rig.time.timers.now(), 500);
});

test("the wait is drawn at random from nothing to its ceiling", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.random = 0.25;
  line.socket.terminate();
  const { retryAt } = await rig.phase("waiting");
  assert.equal(retryAt, 125);
});

test("a server that cannot be reached for five minutes is given up", async (context) => {
  const rig = await Rig.open(context);
  await rig.live();
  await rig.stopListening();
  for (;;) {
    const { state } = await rig.told("state");
    if (state.phase === "waiting") rig.time.move(state.retryAt - rig.time.timers.now());
    if (state.phase === "ended") {
      assert.deepEqual(state, { phase: "ended", reason: "unreachable", error: null });
      break;
    }
  }
  assert.ok(rig.time.timers.now() > 300_000 && rig.time.timers.now() < 330_000);
});

test("a server that accepts and says nothing is left after ten seconds", async (context) => {
  const rig = await Rig.open(context);
  void rig.stream.connect();
  await rig.line();
  rig.time.move(9_999);
  assert.equal(rig.stream.state.phase, "connecting");
  rig.time.move(1);
  assert.equal(rig.stream.state.phase, "waiting");
});

test("a connection on which nothing comes any more is noticed and replaced", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.time.move(5_000);
  const ping = await line.control("ping");
  assert.equal(ping["t"], 5_000);
  rig.time.move(15_000);
  assert.equal(rig.stream.state.phase, "waiting");
});

test("leaving sends what is left, waits for the last final, and ends", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(120);
  rig.stream.leave();
  rig.speak(5, 120);
  await rig.phase("finishing");
  rig.time.move(1000);
  assert.deepEqual(await line.frames(120), range(0, 120));
  await line.control("leave");
  line.say(final(5, { end: 2.4 }));
  line.say({ type: "left", eventId: 6, participantId: "p1", reason: "left", duration: 2.4, dropped: 0 });
  assert.equal((await rig.told("transcript")).text, "go");
  assert.deepEqual(await rig.phase("ended"), { phase: "ended", reason: "left", error: null });
  assert.equal(rig.time.waiting, 0);
});

test("a connection lost while leaving is resumed, and left again", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(10);
  rig.stream.leave();
  await line.control("leave");
  line.socket.terminate();
  while ((await rig.phase("finishing")).retryAt === null);
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.joined({ nextSeq: 8 });
  assert.deepEqual(await again.frames(2), [8, 9]);
  await again.control("leave");
  again.say({ type: "left", eventId: 9, participantId: "p1", reason: "left", duration: 0.2, dropped: 0 });
  await rig.phase("ended");
});

test("a server that never confirms the end is not waited for without end, and a second leave ends at once", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.stream.leave();
  await line.control("leave");
  for (let i = 0; i < 4; i++) {
    rig.time.move(4_999);
    line.say({ type: "pong", t: 0 });
  }
  rig.time.move(4);
  assert.deepEqual(await rig.phase("ended"), { phase: "ended", reason: "unconfirmed", error: null });

  const other = await Rig.open(context);
  await other.live();
  other.stream.leave();
  other.stream.leave();
  assert.deepEqual(await other.phase("ended"), { phase: "ended", reason: "abandoned", error: null });
});

test("a refused join ends with the server's reason", async (context) => {
  const rig = await Rig.open(context);
  void rig.stream.connect();
  const { line } = await rig.line();
  line.say({ type: "error", code: "session_limit", message: "all 2 streams are in use", retryable: true, retryAfter: 5 });
  const { reason, error } = await rig.phase("ended");
  assert.equal(reason, "refused");
  assert.ok(error instanceof RtcError);
  const { code, message, retryable, retryAfter } = error;
  assert.deepEqual([code, message, retryable, retryAfter], ["session_limit", "all 2 streams are in use", true, 5]);
  assert.match(error.action, /Try again/);
});

test("a server that is full when a stream comes back is asked again, not before it wants to be", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  line.socket.terminate();
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.say({ type: "error", code: "not_found", message: "gone", retryable: false });
  await again.control("join");
  again.say({ type: "error", code: "session_limit", message: "full", retryable: true, retryAfter: 5 });
  const { retryAt } = await rig.phase("waiting");
  assert.equal(retryAt - rig.time.timers.now(), 5000);
});

test("a server that shuts down and writes the stream off is joined anew", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(10);
  await line.frames(10);
  line.say({ type: "closing", reason: "the server is shutting down", reconnect: true });
  line.say({ type: "left", eventId: 3, participantId: "p1", reason: "shutdown", duration: 0.2, dropped: 0 });
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again, join } = await rig.line();
  assert.ok(!("resume" in join));
  again.joined({ sessionId: "s2", participantId: "p2" });
  assert.deepEqual(await again.frames(10), range(0, 10));
});

test("a stream that the server has ended without a word is begun anew", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.events.drain();
  rig.speak(2);
  await line.frames(2);
  const conflict = { type: "error", code: "conflict", message: "this stream has ended", retryable: false };
  line.say(conflict);
  line.say(conflict);
  line.say({ type: "speaking", eventId: 1, participantId: "p1", active: false });
  await rig.told("speaking");
  assert.equal(rig.stream.state.phase, "live");
  line.say({ type: "pong", t: 0 });
  rig.time.move(10_000);
  assert.equal(rig.stream.state.phase, "waiting");
  rig.time.move(500);
  const { line: again, join } = await rig.line();
  assert.ok(!("resume" in join));
  again.joined({ sessionId: "s2", participantId: "p2" });
  assert.deepEqual(await again.frames(2), [0, 1]);
});

test("a server that does not want the stream back ends it", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  line.say({ type: "error", code: "duration_limit", message: "four hours are enough", retryable: false });
  line.say({ type: "closing", reason: "duration_limit", reconnect: false });
  const { reason, error } = await rig.phase("ended");
  assert.deepEqual([reason, error?.message], ["closed", "four hours are enough"]);
});

test("another participant's leaving, unknown messages and noise change nothing", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  line.say({ type: "left", eventId: 1, participantId: "p9", duration: 1, dropped: 0 });
  line.say({ type: "of a newer server" });
  line.socket.send("not JSON");
  line.socket.send("null");
  line.socket.send(Buffer.from([1, 2, 3]));
  line.say({ type: "transcript", text: 5 });
  line.say({ type: "ack", seq: "x" });
  line.say(final(2));
  await rig.told("transcript");
  assert.equal(rig.stream.state.phase, "live");
});

test("connect resolves when the server has taken the stream, and rejects with the reason where it never does", async (context) => {
  const rig = await Rig.open(context);
  const connected = rig.stream.connect("lesson-1");
  const { line, join } = await rig.line();
  assert.equal(join["sessionId"], "lesson-1");
  assert.ok(!("resume" in join));
  line.joined({ sessionId: "lesson-1" });
  await connected;
  assert.deepEqual([rig.stream.sessionId, rig.stream.participantId], ["lesson-1", "p1"]);
  assert.throws(() => rig.stream.connect(), { code: "already_connected" });

  const other = await Rig.open(context);
  const refused = other.stream.connect();
  (await other.line()).line.say({ type: "error", code: "unauthorized", message: "no key", retryable: false });
  await assert.rejects(refused, { code: "unauthorized", message: "no key" });
});

test("PCM may come in any portion, and goes in whole frames; the last one is filled with silence", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.stream.sendAudioData(Int16Array.from({ length: 300 }, () => 7));
  rig.stream.sendAudioData(new Int16Array(350).fill(8).buffer);
  assert.throws(() => rig.stream.sendAudioData(new Uint8Array(3)), { code: "bad_audio" });
  assert.deepEqual(await line.frames(2), [7, 8]);
  rig.stream.leave();
  assert.deepEqual(await line.frames(1), [8]);
  await line.control("leave");
});

test("Opus goes a packet a frame, and one that cannot be one is refused", async (context) => {
  const rig = await Rig.open(context, { format: { codec: "opus", sampleRate: 48_000 } });
  const { line, join } = await rig.live();
  assert.deepEqual(join["format"], { codec: "opus", sampleRate: 48_000, channels: 1 });
  assert.equal(join["framing"], "rtp");
  rig.stream.sendAudioData(Uint8Array.of(1, 2));
  rig.stream.sendAudioData(Uint8Array.of(3, 0, 0));
  assert.throws(() => rig.stream.sendAudioData(new Uint8Array(1300)), { code: "bad_audio" });
  const frames = [await line.frame(), await line.frame()];
  assert.deepEqual(frames.map(({ sequence, timestamp, sample }) => [sequence, timestamp, sample]), [
    [0, 0, 0x201],
    [1, 960, 3],
  ]);
});

test("a container goes without headers, in pieces, and resumes at the piece that the server wants", async (context) => {
  const rig = await Rig.open(context, { format: { codec: "webm", sampleRate: 48_000, frameMs: 250 } });
  void rig.stream.connect();
  const { line, join } = await rig.line();
  assert.equal(join["framing"], "plain");
  /** @type {number[]} */
  const sizes = [];
  /** @type {Promise<void>} */
  const all = new Promise((resolve) => {
    line.socket.on("message", (data, isBinary) => {
      if (isBinary && sizes.push(/** @type {Buffer} */ (data).length) === 3) resolve();
    });
  });
  line.joined();
  rig.stream.sendAudioData(new Uint8Array(40_000));
  await all;
  assert.deepEqual(sizes, [16_384, 16_384, 7_232]);
  line.socket.terminate();
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again } = await rig.line();
  /** @type {Promise<number>} */
  const first = new Promise((done) => again.socket.once("message", (data) => done(/** @type {Buffer} */ (data).length)));
  again.joined({ nextSeq: 2 });
  assert.equal(await first, 7_232);
});

test("mute and bitrate hold over a lost connection", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.stream.mute();
  rig.stream.mute();
  rig.stream.setBitrate(24_000.4);
  await line.control("mute");
  assert.equal((await line.control("bitrate-change"))["bitrate"], 24_000);
  line.socket.terminate();
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.joined();
  await again.control("mute");
  assert.equal((await again.control("bitrate-change"))["bitrate"], 24_000);
  rig.stream.unmute();
  await again.control("unmute");
});

test("what a room says goes to a player, with what is missing of it, and can be cleared", async (context) => {
  /** @type {unknown[]} */
  const played = [];
  const player = {
    open: (/** @type {object} */ format) => played.push(format),
    push: (/** @type {Uint8Array} */ frame, /** @type {{missing: number}} */ { missing }) => played.push([...frame, missing]),
    clear: () => played.push("clear"),
  };
  const room = { roomId: "choir", userId: "Hildegard", listen: true };
  const reply = /** @type {const} */ ({ codec: "opus", sampleRate: 48_000 });
  const rig = await Rig.open(context, { room, reply, player });
  void rig.stream.connect();
  const { line, join } = await rig.line();
  assert.deepEqual(join["reply"], { codec: "opus", sampleRate: 48_000, frameMs: 20 });
  assert.deepEqual([join["roomId"], join["userId"], join["listen"]], ["choir", "Hildegard", true]);
  line.joined({ reply: { codec: "opus", sampleRate: 48_000, channels: 1 } });
  line.say({ type: "peer-joined", socketId: "p2", userId: "Kassia" });
  line.socket.send(Buffer.from([1]));
  line.say({ type: "dropped", packets: 3, total: 3 });
  line.socket.send(Buffer.from([2]));
  line.say({ type: "clear" });
  const { message } = await rig.told("message");
  assert.equal(message["userId"], "Kassia");
  assert.deepEqual([...(await rig.told("audio")).frame], [1]);
  assert.equal((await rig.told("dropped")).total, 3);
  await rig.told("clear");
  const format = { codec: "opus", sampleRate: 48_000, channels: 1, frameMs: 20 };
  assert.deepEqual(played, [format, [1, 0], [2, 3], "clear"]);
});

test("a player that cannot play is told of, and the stream goes on without it", async (context) => {
  const player = { open: () => Promise.reject(new Error("no decoder")), push: () => assert.fail(), clear: () => assert.fail() };
  const rig = await Rig.open(context, { reply: { codec: "opus" }, room: { roomId: "r" }, player });
  void rig.stream.connect();
  const { line } = await rig.line();
  line.joined({ reply: { codec: "opus", sampleRate: 48_000, channels: 1 } });
  const { error } = await rig.told("error");
  assert.deepEqual([error.code, error.detail], ["not_playable", "Error: no decoder"]);
  line.socket.send(Buffer.from([1]));
  line.say({ type: "clear" });
  await rig.told("clear");
});

test("what others say in the session or in the room is told as theirs, and nothing begins anew after it", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.speak(50);
  await line.frames(50);
  line.say(final(1, { end: 0.4 }));
  line.say(final(2, { speaker: "p2", end: 0.8 }));
  line.say(final(1, { speaker: "p7", sessionId: "s7", userId: "Kassia", end: 0.9 }));
  line.say({ type: "speaking", eventId: 3, participantId: "p2", active: true });
  const told = [await rig.told("transcript"), await rig.told("transcript"), await rig.told("transcript")];
  assert.deepEqual(told.map(({ own, user, eventId }) => [own, user, eventId]), [
    [true, "", 1],
    [false, "", 2],
    [false, "Kassia", 1],
  ]);
  assert.equal((await rig.told("speaking")).own, false);
  line.say({ type: "left", eventId: 4, participantId: "p1", reason: "shutdown", duration: 2, dropped: 0 });
  await rig.phase("waiting");
  rig.time.move(500);
  const { line: again } = await rig.line();
  again.joined({ sessionId: "s2", participantId: "p3" });
  assert.equal((await again.frame()).sample, 20); // after its own last final
});

test("the way to the server is known by pings, acknowledgements and what both sides count", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  rig.stream.conditions();
  rig.speak(50);
  await line.frames(50);
  rig.stream.ping();
  const { t } = await line.control("ping");
  rig.time.move(1000);
  line.say({ type: "pong", t: t + 960 });
  assert.equal((await rig.told("round-trip")).milliseconds, 40);
  line.say({ type: "ack", seq: 39 });
  line.say({ type: "stats", received: 45, lost: 5, jitter: 12 });
  line.say({ type: "bitrate-change", bitrate: 32_000 });
  assert.equal((await rig.told("bitrate-change")).bitrate, 32_000);
  const { roundTrip, loss, jitter, sent, waiting, unacknowledged } = rig.stream.conditions();
  assert.deepEqual(
    { roundTrip, loss, jitter, sent, waiting, unacknowledged },
    { roundTrip: 40, loss: 0.1, jitter: 12, sent: 50 * 640 * 8, waiting: 0, unacknowledged: 200 },
  );
  const quiet = rig.stream.conditions();
  assert.deepEqual([quiet.loss, quiet.sent], [0, 0]);
});

test("a ping that is still away tells of a slow way before it is back, and counts once it was", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.live();
  assert.equal(rig.stream.conditions().roundTrip, null);
  rig.stream.ping();
  const { t } = await line.control("ping");
  rig.time.move(1500);
  assert.equal(rig.stream.conditions().roundTrip, 1500);
  rig.stream.ping();
  const { t: later } = await line.control("ping");
  rig.time.move(20);
  line.say({ type: "pong", t });
  line.say({ type: "pong", t: later });
  await rig.told("round-trip");
  await rig.told("round-trip");
  assert.equal(rig.stream.conditions().roundTrip, 1520);
  assert.equal(rig.stream.conditions().roundTrip, 20);
});
