// Node `socket.io`: decodes each chunk and counts its bytes; `count` is answered with the total.
import { createServer } from "node:http";
import { Server } from "socket.io";

let total = 0;
const http = createServer();
const io = new Server(http, { serveClient: false });
io.on("connection", (socket) => {
  socket.on("audio_chunk", (message) => {
    total += Buffer.from(message.chunk, "base64").length;
  });
  socket.on("count", (reply) => reply(total));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
