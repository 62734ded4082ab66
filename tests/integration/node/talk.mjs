// A foreign client: socket.io-client from npm. Reads what to do as JSON from standard input, and writes every event
// that it is told as one line of JSON, [name, data].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as delay } from "node:timers/promises";

const { io } = createRequire(new URL("../../js/package.json", import.meta.url))("socket.io-client");

const EVENTS = [
  "connected",
  "transcription_started",
  "transcription_result",
  "transcription_stopped",
  "audio_ack",
  "error",
  "closing",
];

const task = JSON.parse(readFileSync(0, "utf8"));
const tell = (name, data) => process.stdout.write(`${JSON.stringify([name, data])}\n`);
const socket = io(task.url, { reconnection: false, ...task.options });
const came = Object.fromEntries(EVENTS.map((name) => [name, new Promise((resolve) => socket.once(name, resolve))]));
for (const name of EVENTS) socket.on(name, (data) => tell(name, data));
socket.on("connect_error", (error) => {
  tell("connect_error", { message: error.message, data: error.data ?? null });
  process.exit(0);
});

function* chunks() {
  const audio = readFileSync(task.audio);
  for (let at = 0; at < audio.length; at += task.size) yield audio.subarray(at, at + task.size);
}

async function talk() {
  await came.connected;
  socket.emit("start_transcription", task.start);
  if (!task.hasty) await came.transcription_started;
  let seq = 0;
  for (const chunk of chunks()) {
    const data = { chunk: task.binary ? chunk : chunk.toString("base64") };
    if (task.numbered) data.seq = seq++;
    socket.emit("audio_chunk", data);
    if (task.pause) await delay(task.pause);
  }
  socket.emit("stop_transcription");
  await came.transcription_stopped;
  tell("transport", socket.io.engine.transport.name);
  socket.disconnect();
}

await talk();
