import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { Listening } from "../../src/antiphon/web/sdk/player/listening.js";
import { Inbox, VirtualTime } from "./stream-kit.js";

/** @typedef {import("../../src/antiphon/web/sdk/player/listening.js").ListeningEvent} ListeningEvent */

/** 20 ms of CELT, mono. */
const PACKET = Uint8Array.of(0xf8, 1, 2, 3);

/** The server's end of one connection. */
class Visit {
  /** @type {Inbox<Record<string, any>>} */
  said = new Inbox();

  /** @param {import("ws").WebSocket} socket @param {URL} url */
  constructor(socket, url) {
    this.socket = socket;
    this.query = url.searchParams;
    socket.on("message", (data) => this.said.put(JSON.parse(String(data))));
  }

  /** @param {Record<string, unknown>} [more] */
  start(more = {}) {
    const usual = { source: this.query.get("source"), codec: "opus", sampleRate: 24_000, frameMs: 20, channels: 1 };
    this.tell({ type: "started", ...usual, bitrate: 32_000, preSkip: 0, live: false, duration: 10, position: 0, ...more });
  }

  /** @param {Record<string, unknown>} message */
  tell(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** @param {number} count */
  send(count) {
    for (let i = 0; i < count; i++) this.socket.send(PACKET);
  }
}

/** @type {WebSocketServer} */
let server;
/** @type {Inbox<Visit>} */
let visits;
/** @type {Inbox<ListeningEvent>} */
let told;
let time = new VirtualTime();
/** @type {Listening[]} */
let open = [];

beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  visits = new Inbox();
  told = new Inbox();
  time = new VirtualTime();
  server.on("connection", (socket, request) => {
    visits.put(new Visit(socket, new URL(String(request.url), "ws://127.0.0.1")));
  });
});

afterEach(() => {
  for (const listening of open) listening.close();
  open = [];
  for (const client of server.clients) client.terminate();
  server.close();
});

/** @param {Partial<import("../../src/antiphon/web/sdk/stream-player.js").ListenOptions>} [wanted] */
function listen(wanted = {}) {
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const listening = new Listening({
    server: `http://127.0.0.1:${port}/listen.html`,
    key: "a key",
    wanted: { source: "file:a b.ogg", ...wanted },
    tell: (event) => told.put(event),
    openSocket: (url) => /** @type {globalThis.WebSocket} */ (/** @type {unknown} */ (new WebSocket(url))),
    timers: time.timers,
    random: () => 0.5,
  });
  open.push(listening);
  listening.open();
  return listening;
}

/** @template {ListeningEvent["type"]} T @param {T} type */
const heard = (type) =>
  told.next(/** @returns {event is Extract<ListeningEvent, {type: T}>} */ (event) => event.type === type);

const visit = () => visits.next(/** @returns {one is Visit} */ (one) => one instanceof Visit);

/** @param {number} count */
async function tags(count) {
  const found = [];
  for (let i = 0; i < count; i++) found.push((await heard("packet")).tag);
  return found;
}

const near = (/** @type {number | undefined} */ a, /** @type {number} */ b) =>
  assert.ok(a !== undefined && Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

test("it asks for what is wanted, with the key, and to be told", async () => {
  listen({ frameMs: 10, bitrate: 24_000, voice: "" });
  const { query } = await visit();
  assert.deepEqual(Object.fromEntries(query), {
    source: "file:a b.ogg",
    frameMs: "10",
    bitrate: "24000",
    events: "true",
    token: "a key",
  });
});

test("packets have their places, and what the encoder looked ahead is cut", async () => {
  listen();
  const there = await visit();
  there.start({ preSkip: 312 });
  there.send(3);
  const [first, second, third] = await tags(3);
  near(first?.position, -0.0065);
  near(first?.cut, 0.0065);
  near(second?.position, 0.0135);
  near(second?.cut, 0);
  near(third?.position, 0.0335);
});

test("after a lost connection it goes on where it was, with a run-up that is not played", async () => {
  const listening = listen();
  const first = await visit();
  first.start();
  first.send(100);
  await tags(100);
  first.socket.terminate();
  const { delay } = await heard("waiting");
  assert.equal(delay, 250);
  time.move(delay);
  const second = await visit();
  assert.equal(second.query.get("position"), "1.92");
  second.start({ position: 1.92 });
  second.send(6);
  const run = await tags(6);
  assert.deepEqual(
    run.map(({ duration, cut = 0 }) => cut >= duration),
    [true, true, true, true, false, false],
  );
  near(run[4]?.position, 2);
  near(run[5]?.position, 2.02);
  assert.equal(listening.reconnects, 1);
  assert.ok(run.every(({ missing = 0 }) => missing === 0));
});

test("a server that goes on later than asked leaves a hole that is told", async () => {
  listen();
  const first = await visit();
  first.start();
  first.send(10);
  await tags(10);
  first.socket.terminate();
  time.move((await heard("waiting")).delay);
  const second = await visit();
  second.start({ position: 0.5 });
  second.send(1);
  const [tag] = await tags(1);
  near(tag?.missing, 0.3);
});

test("what the server dropped is missing before the next packet", async () => {
  const listening = listen();
  const there = await visit();
  there.start();
  there.send(1);
  there.tell({ type: "dropped", packets: 5, total: 5 });
  there.send(2);
  const [, second, third] = await tags(3);
  near(second?.missing, 0.1);
  near(third?.missing, 0);
  near(third?.position, 0.14);
  assert.equal(listening.lost, 5);
});

test("a live source is met where it is now", async () => {
  listen({ source: "room:choir" });
  const first = await visit();
  first.start({ live: true });
  first.send(10);
  await tags(10);
  first.socket.terminate();
  time.move((await heard("waiting")).delay);
  const second = await visit();
  assert.equal(second.query.get("position"), null);
  second.start({ live: true, position: 0 });
  second.send(1);
  const [tag] = await tags(1);
  assert.equal(tag?.missing, 0);
  assert.equal(tag?.cut, 0);
});

test("complete is over, and nothing is tried again", async () => {
  listen();
  const there = await visit();
  there.start();
  there.tell({ type: "ended", reason: "complete", position: 10 });
  there.socket.close(1000);
  assert.equal((await heard("over")).reason, "complete");
  assert.equal(time.waiting, 0);
});

test("a server that shuts down is looked for again", async () => {
  listen();
  const there = await visit();
  there.start();
  there.tell({ type: "closing", reason: "shutdown", reconnect: true });
  there.socket.close(1001);
  await heard("waiting");
});

test("what will never work is not tried again", async () => {
  listen({ source: "file:none.wav" });
  const there = await visit();
  there.tell({ type: "error", code: "not_found", message: "there is no file none.wav", retryable: false });
  there.socket.close(1008);
  const { error } = await heard("failed");
  assert.equal(error.code, "not_found");
  assert.equal(error.message, "there is no file none.wav");
  assert.equal(time.waiting, 0);
});

test("what may work later is tried again, no sooner than the server asks", async () => {
  listen();
  const there = await visit();
  there.tell({ type: "error", code: "session_limit", message: "full", retryable: true, retryAfter: 7 });
  there.socket.close(1008);
  assert.equal((await heard("waiting")).delay, 7_000);
});

test("an error about one message is told, and ends nothing", async () => {
  listen({ source: "say:" });
  const there = await visit();
  there.start({ live: true });
  there.tell({ type: "error", code: "too_large", message: "too long", retryable: false });
  there.send(1);
  assert.equal((await heard("error")).error.code, "too_large");
  await heard("packet");
  there.socket.terminate();
  await heard("waiting");
});

test("a server that is silent is left, and one that answers pings is not", async () => {
  const listening = listen();
  const there = await visit();
  there.start();
  await heard("started");
  for (let round = 0; round < 5; round++) {
    const ping = await there.said.next(/** @returns {said is Record<string, any>} */ (said) => said["type"] === "ping");
    time.move(40);
    there.tell({ type: "pong", t: ping["t"], serverTime: 0 });
    there.tell({ type: "said", id: round });
    await heard("said");
    assert.equal(listening.roundTrip, 40);
    time.move(4_960);
  }
  time.move(12_000);
  await heard("waiting");
});

for (const [ever, code] of /** @type {const} */ ([[true, "gone"], [false, "unreachable"]])) {
test(`a server that ${ever ? "does not come back" : "is not there"} is given up in the end`, async () => {
  const listening = listen();
  const first = await visit();
  if (ever) {
    first.start();
    await heard("started");
  }
  first.socket.terminate();
  await heard("waiting");
  server.close();
  for (const client of server.clients) client.terminate();
  let waited = 0;
  for (;;) {
    time.move(8_000);
    const event = await told.next(
      /** @returns {one is Extract<ListeningEvent, {type: "waiting" | "failed"}>} */ (one) =>
        one.type === "waiting" || one.type === "failed",
    );
    if (event.type === "failed") {
      assert.equal(event.error.code, code);
      break;
    }
    assert.ok(++waited < 60);
  }
  assert.ok(ever ? waited > 20 : waited < 6, `${waited} attempts`);
  assert.equal(listening.reconnects, 0);
});
}

test("while it is held nothing comes, and then it goes on where the listener was", async () => {
  const listening = listen();
  const first = await visit();
  first.start();
  first.send(100);
  await tags(100);
  listening.hold(1.5);
  await once(first.socket, "close");
  assert.equal(time.waiting, 0);
  listening.open();
  const second = await visit();
  near(Number(second.query.get("position")), 1.42);
});

test("nonsense from the server changes nothing", async () => {
  listen();
  const there = await visit();
  there.socket.send("not json");
  there.socket.send("[]");
  there.socket.send(PACKET);
  there.start({ position: "x", frameMs: null, live: 7, preSkip: -1 });
  there.tell({ type: "dropped", packets: "many" });
  there.tell({ type: "unheard-of" });
  there.send(1);
  const [tag] = await tags(1);
  near(tag?.position, 0);
  assert.equal(tag?.missing, 0);
});
