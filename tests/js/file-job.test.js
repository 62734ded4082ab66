import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { FileJob, JobError } from "../../src/antiphon/web/file-job.js";

/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */
/** @typedef {{method: string, url: string, headers: import("node:http").IncomingHttpHeaders, body: string}} Seen */

/** Waits that are over at once; the clock shows how long they would have been. */
function hastyTimers() {
  let now = 0;
  return {
    now: () => now,
    after: (/** @type {number} */ milliseconds, /** @type {() => void} */ action) => {
      if (milliseconds >= 45_000) return () => undefined; // the deadline for a silent server
      const timer = setImmediate(() => {
        now += milliseconds;
        action();
      });
      return () => clearImmediate(timer);
    },
  };
}

/**
 * A server that answers each request in turn with one of the functions.
 *
 * @param {import("node:test").TestContext} context
 * @param {((response: Response) => void)[]} answers
 * @param {() => void} [heard] Called with each result.
 */
async function serve(context, answers, heard = () => undefined) {
  /** @type {Seen[]} */
  const seen = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { method = "", url = "", headers } = request;
    seen.push({ method, url, headers, body: Buffer.concat(parts).toString() });
    (answers[seen.length - 1] ?? (() => response.writeHead(204).end()))(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  /** @type {import("../../src/antiphon/web/file-job.js").JobEvent[]} */
  const told = [];
  const job = new FileJob({
    base: `http://127.0.0.1:${port}/`,
    key: "secret",
    tell: (event) => {
      told.push(event);
      if (event.type === "result") heard();
    },
    timers: hastyTimers(),
    random: () => 1,
  });
  return { seen, told, job, server };
}

/** @param {string} text @param {boolean} [end] */
const stream = (text, end = true) => (/** @type {Response} */ response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "X-Antiphon-Job": "job 1" });
  response.write(text, () => {
    if (end) response.end();
    else response.destroy();
  });
};

/** @param {number} id @param {string} text @param {boolean} [isPartial] */
const result = (id, text, isPartial = false) =>
  `id: ${id}\nevent: ${isPartial ? "partial" : "final"}\n` +
  `data: ${JSON.stringify({ event_id: id, result_id: "r", text, is_partial: isPartial, start: 0, end: 1 })}\n\n`;

const DONE = 'id: 9\nevent: done\ndata: {"duration":1}\n\n';
const file = new Blob(["RIFF…"]);

test("a file is sent as it is, and its events are told until it is done", async (context) => {
  const progress = 'id: 3\nevent: progress\ndata: {"done":0.5,"total":2}\n\n';
  const body = `id: 1\nevent: started\ndata: {}\n\n${result(2, "go", true)}${progress}${result(4, "go on")}${DONE}`;
  const { seen, told, job } = await serve(context, [stream(body)]);
  assert.equal(await job.run(file, "en-US"), "done");
  assert.equal(seen.length, 1);
  assert.deepEqual(
    [seen[0]?.method, seen[0]?.url, seen[0]?.body, seen[0]?.headers.authorization],
    ["POST", "/v1/transcribe?language=en-US", "RIFF…", "Bearer secret"],
  );
  assert.deepEqual(
    told.map((event) => (event.type === "result" ? `${event.result.text} ${event.result.isPartial}` : event.type)),
    ["accepted", "go true", "progress", "go on false"],
  );
  assert.deepEqual(told[2], { type: "progress", done: 0.5, total: 2 });
});

test("an answer that breaks off is asked for again from the last event, without sending the file anew", async (context) => {
  const { seen, told, job } = await serve(context, [
    stream(result(5, "one"), false),
    (response) => response.destroy(),
    stream(`${result(6, "two")}${DONE}`),
  ]);
  assert.equal(await job.run(file, "en-US"), "done");
  assert.deepEqual(
    seen.map(({ method, url, headers }) => [method, url, headers["last-event-id"]]),
    [
      ["POST", "/v1/transcribe?language=en-US", undefined],
      ["GET", "/v1/transcribe/job%201", "5"],
      ["GET", "/v1/transcribe/job%201", "5"],
    ],
  );
  assert.deepEqual(told.flatMap((event) => (event.type === "result" ? [event.result.text] : [])), ["one", "two"]);
});

test("a server that does not come back is given up after a minute", async (context) => {
  const { seen, job } = await serve(context, [
    stream(result(5, "one"), false),
    ...Array.from({ length: 50 }, () => (/** @type {Response} */ response) => void response.destroy()),
  ]);
  await assert.rejects(job.run(file, "en-US"), { problem: { code: "unreachable" } });
  assert.ok(seen.length > 5 && seen.length < 20, `${seen.length} requests`);
});

/** @type {[string, (response: Response) => void, object][]} */
const REFUSALS = [
  [
    "the error shape",
    (response) => {
      response.writeHead(422).end('{"message":"no audio in it","code":"bad_audio","retryable":false}');
    },
    { code: "bad_audio", message: "no audio in it", retryable: false, retryAfter: null },
  ],
  [
    "an error event",
    stream('id: 2\nevent: error\ndata: {"message":"cut off","code":"bad_audio","retryable":false}\n\n'),
    { code: "bad_audio", message: "cut off", retryable: false, retryAfter: null },
  ],
  [
    "something else than Antiphon",
    (response) => {
      response.writeHead(502, "Bad Gateway").end("<html>");
    },
    { code: "HTTP 502", message: "The server answered 502 Bad Gateway." },
  ],
  ["an end without being done", stream('id: 2\nevent: ended\ndata: {"reason":"shutdown"}\n\n'), { code: "closed" }],
];

for (const [name, answer, problem] of REFUSALS) {
  test(`${name} ends the job with its reason`, async (context) => {
    const { seen, job } = await serve(context, [answer]);
    await assert.rejects(job.run(file, "en-US"), (error) => {
      assert.ok(error instanceof JobError);
      assert.deepEqual(error.problem, problem);
      return true;
    });
    assert.equal(seen.length, 1);
  });
}

test("a job that is cancelled is cancelled on the server too", async (context) => {
  const { job, server } = await serve(context, [stream(result(1, "go", true))], () => job.cancel());
  /** @type {Promise<string | undefined>} */
  const deleted = new Promise((resolve) => {
    server.on("request", ({ method, url }) => {
      if (method === "DELETE") resolve(url);
    });
  });
  assert.equal(await job.run(file, "en-US"), "cancelled");
  assert.equal(await deleted, "/v1/transcriptions/job%201");
});

test("an empty file is not sent", async (context) => {
  const { seen, job } = await serve(context, []);
  await assert.rejects(job.run(new Blob([]), "en-US"), { problem: { code: "empty_file" } });
  assert.equal(seen.length, 0);
});

test("a server that is away is told as such", async (context) => {
  const { job, server } = await serve(context, []);
  server.close();
  await once(server, "close");
  await assert.rejects(job.run(file, "en-US"), { problem: { code: "unreachable" } });
});
