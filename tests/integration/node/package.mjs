/**
 * Streams a file of PCM with the installed package, on Node's `ws`, and prints each final. Told by a line of JSON on stdin:
 * url, audio (path), project (the folder in which the package is installed) and ws (the path of that module).
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { url, audio, project, ws } = JSON.parse(readFileSync(0, "utf8"));
const here = createRequire(pathToFileURL(`${project}/script.js`));
const { AudioStreamManager } = await import(pathToFileURL(here.resolve("@antiphon/client")).href);
const { WebSocket } = await import(pathToFileURL(ws).href);

const stream = new AudioStreamManager({
  server: url,
  language: "en-US",
  openSocket: (address) => new WebSocket(address),
});
stream.on("transcript", ({ text, isPartial }) => {
  if (!isPartial) console.log(text);
});
const ended = new Promise((resolve, reject) => {
  stream.on("state", ({ state }) => {
    if (state.phase === "ended") (state.reason === "left" ? resolve : reject)(state);
  });
});
await stream.connect();
stream.sendAudioData(new Uint8Array(readFileSync(audio)));
stream.leave();
await ended;
