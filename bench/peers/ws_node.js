// Node `ws`: counts the bytes of binary messages; a text message asks for the total.
import { WebSocketServer } from "ws";

let total = 0;
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false });
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    if (isBinary) total += data.length;
    else socket.send(String(total));
  });
});
