/**
 * The live-captions page: sound from a source to the server, words to the screen.
 */

import { captureProblem, listMicrophones } from "./capture.js";
import { CaptionsView } from "./captions.js";
import { EXPORTS, clockTime, toText } from "./exports.js";
import { FileJob, JobError } from "./file-job.js";
import { LiveSession } from "./live.js";
import { advise, lostAudio } from "./messages.js";
import { StaveMeter } from "./meter.js";
import { Notices } from "./notices.js";
import { StateLine, element, saveAs } from "./page.js";
import { accessKey, askServer, keepAccessKey } from "./server.js";
import { Transcript } from "./transcript.js";
import { keepAwake } from "./wake.js";

/** @typedef {import("./messages.js").Problem} Problem */
/** @typedef {import("./stream.js").StreamState} StreamState */
/** @typedef {"microphone" | "tab" | "file"} Source */

const CLOCK_EVERY_MS = 250;

const ui = {
  desk: element("desk", HTMLFormElement),
  setup: element("setup", HTMLFieldSetElement),
  device: element("device", HTMLSelectElement),
  language: element("language", HTMLSelectElement),
  key: element("key", HTMLInputElement),
  keyField: element("key-field", HTMLDivElement),
  file: element("file", HTMLInputElement),
  drop: element("drop", HTMLDivElement),
  toggle: element("toggle", HTMLButtonElement),
  sourceLabel: element("source-label", HTMLParagraphElement),
  retry: element("retry", HTMLButtonElement),
  meter: element("meter", HTMLDivElement),
  progress: element("progress", HTMLDivElement),
  progressBar: element("progress-bar", HTMLProgressElement),
  progressText: element("progress-text", HTMLLabelElement),
  empty: element("empty", HTMLDivElement),
  copy: element("copy", HTMLButtonElement),
  clear: element("clear", HTMLButtonElement),
};

const transcript = new Transcript();
const stateLine = new StateLine();
const notices = new Notices(element("notices", HTMLDivElement));
const meter = new StaveMeter(element("level", HTMLCanvasElement), ui.meter);
const view = new CaptionsView({
  scroll: element("captions", HTMLDivElement),
  lines: element("lines", HTMLOListElement),
  partials: element("partials", HTMLOListElement),
  latest: element("latest", HTMLButtonElement),
});

/** @type {LiveSession | null} */
let live = null;
/** @type {StreamState} */
let streamState = { phase: "idle" };
/** Where the live session begins on the transcript's timeline, in seconds. */
let liveBase = 0;
/** @type {FileJob | null} */
let job = null;
let maxUploadBytes = Infinity;
/** Where the transcript on the page comes from, and whether it was saved as it stands. */
const shown = { from: /** @type {Source} */ ("microphone"), saved: true, warned: false, replace: false };
/** What "Undo" brings back. @type {import("./transcript.js").Line[]} */
let cleared = [];

/** @returns {Source} */
const source = () => /** @type {Source} */ (new FormData(ui.desk).get("source") ?? chosenSource);
/** @type {Source} */
let chosenSource = "microphone";

/** @param {Problem} problem @param {"alert" | "status"} [role] */
function tellProblem(problem, role = "alert") {
  if (problem.code === "unauthorized") ui.keyField.hidden = false;
  notices.show(problem.code, role, advise(problem));
}

// The transcript

function showTranscript() {
  const waiting = live !== null && streamState.phase === "live" && transcript.partials.size === 0;
  view.show(transcript, waiting ? "Listening…" : "");
  ui.empty.hidden = live !== null || job !== null || !transcript.isEmpty;
  const without = transcript.isEmpty;
  document.body.toggleAttribute("data-words", !without);
  for (const button of document.querySelectorAll("button[data-format]")) {
    /** @type {HTMLButtonElement} */ (button).disabled = without;
  }
  ui.copy.disabled = without;
  if (!without) cleared = [];
  ui.clear.disabled = without && cleared.length === 0;
  ui.clear.textContent = cleared.length > 0 ? "Undo clear" : "Clear";
}

/**
 * Live sound goes on below the live sound before it; a file has its own timeline and needs an empty page.
 *
 * @param {Source} from
 * @returns {boolean} Whether there is room; else the user was told what will be lost.
 */
function makeRoom(from) {
  const replace = !transcript.isEmpty && (from === "file" || shown.from === "file");
  if (replace && !shown.saved && !shown.warned) {
    shown.warned = true;
    tellProblem({ code: "unsaved" }, "status");
    return false;
  }
  Object.assign(shown, { warned: false, replace });
  return true;
}

/**
 * The new sound is there, and what it replaces may go.
 *
 * @param {Source} from
 * @returns {number} Where it begins on the transcript's timeline, in seconds.
 */
function takeRoom(from) {
  if (shown.replace) transcript.clear();
  cleared = [];
  Object.assign(shown, { from, replace: false });
  return transcript.end;
}

function fileName() {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
  return `captions-${local.slice(0, 16).replace("T", "-").replace(":", "")}`;
}

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("button[data-format]"))) {
  const format = /** @type {keyof typeof EXPORTS} */ (button.dataset["format"]);
  button.addEventListener("click", () => {
    const { mime, write } = EXPORTS[format];
    saveAs(`${fileName()}.${format}`, mime, write(transcript.lines));
    shown.saved = true;
  });
}

ui.copy.hidden = !("clipboard" in navigator);
ui.copy.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(toText(transcript.lines));
    shown.saved = true;
    ui.copy.textContent = "Copied";
  } catch {
    ui.copy.textContent = "Not allowed";
  }
  setTimeout(() => {
    ui.copy.textContent = "Copy";
  }, 2000);
});

ui.clear.addEventListener("click", () => {
  if (transcript.isEmpty) {
    transcript.restore(cleared);
  } else {
    cleared = transcript.lines;
    transcript.clear();
  }
  showTranscript();
});

// The state of things

function showState() {
  const clock = live === null ? "" : clockTime(live.seconds);
  const waitS =
    "retryAt" in streamState && streamState.retryAt !== null
      ? Math.max(0, Math.ceil((streamState.retryAt - performance.now()) / 1000))
      : 0;
  ui.retry.hidden = streamState.phase !== "waiting";
  switch (streamState.phase) {
    case "connecting":
      return stateLine.show("connecting", streamState.again ? "Reconnecting…" : "Connecting…");
    case "live":
      return stateLine.show("live", `Live · ${clock}`, "Live");
    case "waiting":
      if (!navigator.onLine) return stateLine.show("waiting", `Offline · ${clock}`, "Offline");
      return stateLine.show("waiting", `Reconnecting in ${waitS} s`, "Connection lost, reconnecting");
    case "finishing":
      return stateLine.show("finishing", "Finishing…");
    default:
      return;
  }
}

setInterval(() => {
  if (live !== null) showState();
}, CLOCK_EVERY_MS);

/** @param {boolean} running */
function showRunning(running) {
  if (running && ui.setup.contains(document.activeElement)) ui.toggle.focus();
  if (running) chosenSource = source();
  ui.setup.disabled = running;
  document.body.toggleAttribute("data-running", running);
  const start = source() === "file" ? "Transcribe" : "Start";
  ui.toggle.textContent = running ? (job === null ? "Stop" : "Cancel") : start;
  ui.toggle.classList.toggle("stop", running);
  ui.sourceLabel.hidden = !running;
  keepAwake(running);
}

// Live sound

/** @param {"microphone" | "tab"} from */
async function startLive(from) {
  notices.clear();
  if (!makeRoom(from)) return;
  const url = new URL("/audio-stream", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const session = new LiveSession({
    source: from,
    deviceId: ui.device.value,
    language: ui.language.value,
    key: ui.key.value,
    url: url.href,
    tell: (event) => {
      if (live === session) onLive(event, from);
    },
  });
  live = session;
  meter.reset();
  showRunning(true);
  ui.sourceLabel.textContent = from === "tab" ? "A shared tab" : "Microphone";
  stateLine.show("asking", from === "tab" ? "Choose what to share" : "Waiting for permission");
  showTranscript();
  if (!(await session.start()) && live === session) endLive("idle", "Ready");
  else void refreshDevices();
}

/**
 * @param {string} phase
 * @param {string} text
 */
function endLive(phase, text) {
  live = null;
  streamState = { phase: "idle" };
  ui.retry.hidden = true;
  for (const hint of ["muted", "silence", "offline"]) notices.drop(hint);
  transcript.beginTake(transcript.end); // what was still being spoken will not be finished
  meter.reset();
  showRunning(false);
  stateLine.show(phase, text);
  showTranscript();
}

/**
 * @param {import("./live.js").LiveEvent} event
 * @param {"microphone" | "tab"} from
 */
function onLive(event, from) {
  switch (event.type) {
    case "level":
      return meter.push(event.level);
    case "captured":
      liveBase = takeRoom(from);
      if (event.label !== "") ui.sourceLabel.textContent = event.label;
      return;
    case "problem":
      return tellProblem({ code: event.code });
    case "hint":
      if (event.active) tellProblem({ code: event.code }, "status");
      else notices.drop(event.code);
      return;
    case "take":
      transcript.beginTake(liveBase + event.offset);
      if (!event.fresh) tellProblem({ code: "session_lost" }, "status");
      return showTranscript();
    case "result":
      if (transcript.apply(event.result) === "final") shown.saved = false;
      return showTranscript();
    case "speaking":
      meter.speech = event.active;
      return;
    case "lost":
      return notices.show("lost", "status", lostAudio(event.seconds));
    case "error":
      return tellProblem(event.error);
    case "state":
      return onStreamState(event.state);
  }
}

/** @param {StreamState} state */
function onStreamState(state) {
  streamState = state;
  if (state.phase === "ended") {
    const { reason, error } = state;
    if (error !== null) tellProblem(error);
    else if (reason !== "left" && reason !== "abandoned") tellProblem({ code: reason });
    return endLive("ended", live === null ? "Ended" : `Ended · ${clockTime(live.seconds)}`);
  }
  if (state.phase === "live") notices.drop("offline");
  if (state.phase !== "live") meter.speech = false;
  ui.toggle.textContent = state.phase === "finishing" ? "End now" : "Stop";
  showState();
  showTranscript();
}

window.addEventListener("offline", () => {
  if (live !== null) tellProblem({ code: "offline" }, "status");
});
window.addEventListener("online", () => {
  notices.drop("offline");
  live?.retryNow();
});
ui.retry.addEventListener("click", () => {
  ui.toggle.focus();
  live?.retryNow();
});

// A file

async function startFile() {
  const file = ui.file.files?.[0];
  notices.clear();
  if (file === undefined) {
    tellProblem({ code: "no_file" });
    ui.file.focus();
    return;
  }
  if (file.size > maxUploadBytes) {
    tellProblem({ code: "too_large", message: `The server takes up to ${Math.floor(maxUploadBytes / 1e6)} MB.` });
    return;
  }
  if (!makeRoom("file")) return;
  let started = false;
  const running = new FileJob({
    base: location.href,
    key: ui.key.value,
    tell: (event) => {
      if (!started && event.type === "result") {
        started = true;
        transcript.beginTake(takeRoom("file"));
      }
      onJob(event);
    },
  });
  job = running;
  showRunning(true);
  ui.sourceLabel.textContent = file.name;
  showProgress(`Sending ${file.name}`, null);
  stateLine.show("file", "Sending…");
  showTranscript();
  let text = "Done";
  try {
    if ((await running.run(file, ui.language.value)) === "cancelled") text = "Cancelled";
    else if (!started) notices.show("no_words", "status", advise({ code: "no_words" }));
  } catch (error) {
    text = "Failed";
    tellProblem(error instanceof JobError ? error.problem : { code: "internal", message: String(error) });
  }
  job = null;
  transcript.beginTake(transcript.end);
  ui.progress.hidden = true;
  ui.meter.hidden = false;
  showRunning(false);
  stateLine.show("ended", text);
  showTranscript();
}

/** @param {import("./file-job.js").JobEvent} event */
function onJob(event) {
  if (event.type === "result") {
    if (transcript.apply(event.result) === "final") shown.saved = false;
    showTranscript();
  } else if (event.type === "progress") {
    const { done, total } = event;
    const share = total !== null && total > 0 ? Math.min(1, done / total) : null;
    const of = total === null ? "" : ` of ${clockTime(total)}`;
    showProgress(`${clockTime(done)}${of}`, share);
    const percent = share === null ? "" : ` ${Math.floor(100 * share)} %`;
    stateLine.show("file", `Transcribing${percent}`, "Transcribing");
  } else {
    stateLine.show("file", "Transcribing");
  }
}

/**
 * @param {string} text
 * @param {number | null} share 0 to 1; null while it is not known.
 */
function showProgress(text, share) {
  ui.meter.hidden = true;
  ui.progress.hidden = false;
  ui.progressText.textContent = text;
  if (share === null) ui.progressBar.removeAttribute("value");
  else ui.progressBar.value = share;
}

// The controls

ui.desk.addEventListener("submit", (event) => {
  event.preventDefault();
  const from = source();
  if (live !== null) void stopLive(live);
  else if (job !== null) job.cancel();
  else if (from === "file") void startFile();
  else void startLive(from);
});

/** @param {LiveSession} session */
async function stopLive(session) {
  const asking = streamState.phase === "idle";
  await session.stop();
  if (asking && live === session) endLive("idle", "Ready");
}

function showSource() {
  const from = source();
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-source]"))) {
    part.hidden = part.dataset["source"] !== from;
  }
  ui.toggle.textContent = from === "file" ? "Transcribe" : "Start";
  notices.clear();
  const problem = from === "file" ? null : captureProblem(from);
  if (problem !== null) tellProblem({ code: problem }, "status");
}

for (const radio of document.querySelectorAll("input[name=source]")) radio.addEventListener("change", showSource);

async function refreshDevices() {
  const chosen = ui.device.value;
  const microphones = await listMicrophones();
  const named = microphones.filter(({ label, id }) => label !== "" && id !== "default" && id !== "communications");
  ui.device.replaceChildren(
    new Option("The system’s choice", ""),
    ...named.map(({ label, id }) => new Option(label, id, false, id === chosen)),
  );
}

if ("mediaDevices" in navigator) {
  navigator.mediaDevices.addEventListener("devicechange", () => void refreshDevices());
}

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  ui.drop.classList.add("over");
});
document.addEventListener("dragleave", () => ui.drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  ui.drop.classList.remove("over");
  const files = event.dataTransfer?.files;
  if (files === undefined || files.length === 0 || live !== null || job !== null) return;
  const radio = document.querySelector("input[name=source][value=file]");
  if (radio instanceof HTMLInputElement) radio.checked = true;
  showSource();
  ui.file.files = files;
});

window.addEventListener("beforeunload", (event) => {
  if (live !== null || job !== null) event.preventDefault();
});

async function greetServer() {
  const info = await askServer(location.href, ui.key.value);
  if ("error" in info) return tellProblem(info.error, "status");
  notices.drop("unauthorized");
  maxUploadBytes = info.maxUploadBytes;
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  const chosen = ui.language.value;
  const languages = info.languages.length > 0 ? info.languages : [info.defaultLanguage || chosen];
  ui.language.replaceChildren(
    ...languages.map((tag) => new Option(names.of(tag) ?? tag, tag, tag === info.defaultLanguage, tag === chosen)),
  );
}

ui.key.value = accessKey();
ui.keyField.hidden = ui.key.value === "";
ui.key.addEventListener("change", () => {
  keepAccessKey(ui.key.value);
  void greetServer();
});

showSource();
showTranscript();
void refreshDevices();
void greetServer();
