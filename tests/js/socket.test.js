import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { Socket } from "../../src/antiphon/web/sdk/socket.js";
import { Inbox, VirtualTime } from "./stream-kit.js";

/** The server's end of one connection. */
class Line {
  /** @type {Inbox<string>} */
  packets = new Inbox();

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => this.packets.put(String(data)));
  }

  /** @param {string} packet */
  say(packet) {
    this.socket.send(packet);
  }

  /** @param {string} start */
  async packet(start) {
    return await this.packets.next(/** @returns {item is string} */ (item) => item.startsWith(start));
  }

  /** @param {string} sid */
  async welcome(sid) {
    this.say('0{"sid":"e1","pingInterval":25000,"pingTimeout":20000}');
    const asked = await this.packet("40");
    this.say(`40{"sid":"${sid}"}`);
    return asked;
  }
}

class Rig {
  time = new VirtualTime();
  /** @type {Inbox<Line>} */
  #lines = new Inbox();
  /** @type {Inbox<[string, any]>} */
  #told = new Inbox();

  /** @param {WebSocketServer} server @param {object} [options] */
  constructor(server, options = {}) {
    this.server = server;
    server.on("connection", (socket) => this.#lines.put(new Line(socket)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    this.socket = new Socket(`http://127.0.0.1:${port}`, {
      openSocket: (url) => {
        const socket = new WebSocket(url);
        socket.on("error", () => undefined); // a browser's socket need not be listened to, Node's must
        return /** @type {globalThis.WebSocket} */ (/** @type {unknown} */ (socket));
      },
      timers: this.time.timers,
      random: () => 1,
      ...options,
    });
    for (const event of ["connect", "disconnect", "connect_error", "news"]) {
      this.socket.on(event, (data) => this.#told.put([event, data]));
    }
  }

  /** @param {import("node:test").TestContext} context @param {object} [options] */
  static async open(context, options) {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    const rig = new Rig(server, options);
    context.after(async () => {
      rig.socket.disconnect();
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
    });
    return rig;
  }

  async line() {
    return await this.#lines.next(/** @returns {item is Line} */ (item) => item instanceof Line);
  }

  /** @param {string} event */
  async told(event) {
    const [, data] = await this.#told.next(/** @returns {item is [string, any]} */ (item) => item[0] === event);
    return data;
  }

  async connected() {
    this.socket.connect();
    const line = await this.line();
    const asked = await line.welcome("s1");
    await this.told("connect");
    return { line, asked };
  }
}

test("a socket introduces itself and has the id that the server gave it", async (context) => {
  const rig = await Rig.open(context, { auth: () => ({ token: "open sesame" }) });
  assert.equal(rig.socket.connected, false);
  const { asked } = await rig.connected();
  assert.equal(asked, '40{"token":"open sesame"}');
  assert.equal(rig.socket.id, "s1");
});

test("events go both ways, and an acknowledgement comes back to the one it is for", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.connected();
  line.say('42["news",{"number":7}]');
  assert.deepEqual(await rig.told("news"), { number: 7 });

  /** @type {Inbox<any>} */
  const answers = new Inbox();
  rig.socket.emit("ask", { a: 1 }, (/** @type {any} */ answer) => answers.put(["first", answer]));
  rig.socket.emit("ask", { a: 2 }, (/** @type {any} */ answer) => answers.put(["second", answer]));
  assert.equal(await line.packet("42"), '420["ask",{"a":1}]');
  assert.equal(await line.packet("42"), '421["ask",{"a":2}]');
  line.say('431[{"ok":2}]');
  line.say('430[{"ok":1}]');
  line.say('430[{"ok":3}]'); // once only
  line.say('42["news",0]');
  await rig.told("news");
  assert.deepEqual(answers.drain(), [
    ["second", { ok: 2 }],
    ["first", { ok: 1 }],
  ]);
});

test("what is no packet, and binary parts, are passed over", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.connected();
  for (const packet of ["", "9", "4", "42", "42nonsense", "42{}", "42[7]", "43[", "451-", "x"]) line.say(packet);
  line.socket.send(Buffer.from([1, 2, 3]));
  line.say('42["news","still here"]');
  assert.equal(await rig.told("news"), "still here");
});

test("a ping is answered, and a server that falls silent is left", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.connected();
  line.say("2");
  await line.packet("3");
  rig.time.move(44_999);
  assert.equal(rig.socket.connected, true);
  rig.time.move(1);
  assert.equal(await rig.told("disconnect"), "ping timeout");
  rig.time.move(500);
  const again = await rig.line();
  await again.welcome("s2");
  await rig.told("connect");
  assert.equal(rig.socket.id, "s2");
});

test("a lost connection is made again after waits that double", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.connected();
  line.socket.terminate();
  assert.equal(await rig.told("disconnect"), "transport close");
  assert.equal(rig.socket.id, undefined);
  rig.socket.emit("lost", {}); // dropped
  for (const wait of [500, 1_000, 2_000]) {
    assert.equal(rig.time.waiting, 1);
    rig.time.move(wait - 1);
    assert.equal(rig.time.waiting, 1);
    rig.time.move(1);
    (await rig.line()).socket.terminate();
    await rig.told("connect_error");
  }
  rig.time.move(4_000);
  const last = await rig.line();
  await last.welcome("s9");
  await rig.told("connect");
});

test("a refusal is told with what the server said, and not tried again", async (context) => {
  const rig = await Rig.open(context);
  rig.socket.connect();
  const line = await rig.line();
  line.say('0{"sid":"e1","pingInterval":25000,"pingTimeout":20000}');
  await line.packet("40");
  line.say('44{"message":"no key","data":{"code":"unauthorized","message":"no key"}}');
  const error = await rig.told("connect_error");
  assert.equal(error.message, "no key");
  assert.equal(error.data.code, "unauthorized");
  assert.equal(rig.time.waiting, 0);
});

test("a server that never welcomes is given up and tried again", async (context) => {
  const rig = await Rig.open(context);
  rig.socket.connect();
  await rig.line();
  rig.time.move(10_000);
  assert.equal((await rig.told("connect_error")).message, "timeout");
  rig.time.move(500);
  await rig.line();
});

test("who disconnects says so and does not come back", async (context) => {
  const rig = await Rig.open(context);
  const { line } = await rig.connected();
  rig.socket.disconnect();
  await line.packet("41");
  assert.equal(await rig.told("disconnect"), "io client disconnect");
  assert.equal(rig.time.waiting, 0);
});
