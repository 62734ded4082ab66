// Foreign clients as two documents have them: one that broadcasts what a recorder hands over and one that plays it, then
// one that sends whole files in base64. Reads what to do as JSON from standard input, and writes what they are told as
// lines of JSON, [name, data].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../../js/package.json", import.meta.url))("socket.io-client");

const task = JSON.parse(readFileSync(0, "utf8"));
const recording = readFileSync(task.file);
const tell = (name, data) => process.stdout.write(`${JSON.stringify([name, data])}\n`);
const open = async () => {
  const socket = io(task.url, { reconnection: false, forceNew: true });
  socket.on("error", (error) => tell("error", error));
  await new Promise((resolve) => socket.once("connected", resolve));
  return socket;
};

async function broadcast() {
  const listener = await open();
  const sender = await open();
  const chunks = [];
  const complete = new Promise((resolve) => {
    listener.on("audio-data", (data) => {
      chunks.push(data);
      if (Buffer.concat(chunks).length >= recording.length) resolve();
    });
  });
  const final = new Promise((resolve) => sender.once("audio-stream-ended", resolve));
  sender.on("transcription_result", (data) => tell("transcription_result", data));
  for (let at = 0; at < recording.length; at += task.size) sender.emit("audio-stream", recording.subarray(at, at + task.size));
  sender.emit("audio-stream-end");
  await complete;
  await final;
  tell("heard", Buffer.concat(chunks).toString("base64"));
  listener.disconnect();
  sender.disconnect();
}

async function segments() {
  const socket = await open();
  const told = new Promise((resolve) => socket.once("transcription", resolve));
  socket.on("transcription", (data) => tell("transcription", data));
  const segment = {
    sessionId: task.sessionId,
    audio: recording.toString("base64"),
    format: "webm",
    duration: 3,
    timestamp: Date.now(),
  };
  tell("acknowledged", await socket.emitWithAck("audio-chunk", segment));
  tell("acknowledged", await socket.emitWithAck("audio-chunk", segment));
  const small = { ...segment, audio: recording.subarray(0, 500).toString("base64"), timestamp: Date.now() + 1 };
  tell("acknowledged", await socket.emitWithAck("audio-chunk", small));
  await told;
  socket.disconnect();
}

await broadcast();
await segments();
