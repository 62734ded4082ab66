// Node `ws`: sends everybody the same packet every 20 ms. The file holds each after its length in two bytes.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { WebSocketServer } from "ws";

const FRAME = 20;
const file = readFileSync(process.argv[2]);
const packets = [];
for (let at = 0; at < file.length; at += 2 + file.readUInt16BE(at)) {
  packets.push(file.subarray(at + 2, at + 2 + file.readUInt16BE(at)));
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[3]), perMessageDeflate: false });
const start = performance.now();
let sent = 0;
function send() {
  const packet = packets[sent % packets.length];
  for (const client of server.clients) client.send(packet, { binary: true });
  sent += 1;
  setTimeout(send, Math.max(start + sent * FRAME - performance.now(), 0));
}
send();
