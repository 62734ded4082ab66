// Two foreign clients, socket.io-client from npm, that meet in a room and negotiate. Reads what to do as JSON from
// standard input, and writes what they were told as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../../js/package.json", import.meta.url))("socket.io-client");

const task = JSON.parse(readFileSync(0, "utf8"));
const connect = () =>
  new Promise((resolve, reject) => {
    const socket = io(task.url, { reconnection: false, forceNew: true, transports: task.transports });
    socket.on("connect", () => resolve(socket));
    socket.on("connect_error", reject);
  });
const next = (socket, event) => new Promise((resolve) => socket.once(event, resolve));

const ada = await connect();
const bob = await connect();
await ada.timeout(20000).emitWithAck("join-room", { roomId: task.room, userId: "ada", role: "host" });
const joined = next(ada, "peer-joined");
const state = next(bob, "room-state");
await bob.timeout(20000).emitWithAck("join-room", { roomId: task.room, userId: "bob", role: "guest" });
const told = { ids: [ada.id, bob.id], joined: await joined, state: await state };

const to = (socket) => ({ roomId: task.room, targetSocketId: socket.id });
const offer = next(ada, "offer");
bob.emit("offer", { ...to(ada), sdp: { type: "offer", sdp: task.sdp } });
told.offer = await offer;
const answer = next(bob, "answer");
ada.emit("answer", { ...to(bob), sdp: { type: "answer", sdp: task.sdp } });
told.answer = await answer;
const candidate = next(bob, "ice-candidate");
ada.emit("ice-candidate", { ...to(bob), candidate: task.candidate });
told.candidate = await candidate;
told.refused = await bob
  .timeout(20000)
  .emitWithAck("offer", { roomId: task.room, targetSocketId: "nobody", sdp: task.sdp });

const left = next(bob, "peer-left");
ada.disconnect();
told.left = await left;
bob.disconnect();
process.stdout.write(JSON.stringify(told));
