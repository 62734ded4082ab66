/**
 * The live-captions page: sound from a source to the server, words to the screen.
 */

import { Controls } from "./controls.js";
import { clockTime } from "./exports.js";
import { FileJob, JobError } from "./file-job.js";
import { LiveSession } from "./live.js";
import { advise, lostAudio } from "./messages.js";
import { StaveMeter } from "./meter.js";
import { Notices } from "./notices.js";
import { ProgressLine, StateLine, element } from "./page.js";
import { Sheet } from "./sheet.js";
import { keepAwake } from "./wake.js";

/** @typedef {import("./messages.js").Problem} Problem */
/** @typedef {import("./sdk/stream-events.js").StreamState} StreamState */

const CLOCK_EVERY_MS = 250;

const stateLine = new StateLine();
const progress = new ProgressLine();
const notices = new Notices(element("notices", HTMLDivElement));
const meter = new StaveMeter(element("level", HTMLCanvasElement), element("meter", HTMLDivElement));
const retry = element("retry", HTMLButtonElement);
const sheet = new Sheet();
const controls = new Controls({
  toggled,
  tell: (problem) => tellProblem(problem, "status"),
  forget: (code) => (code === undefined ? notices.clear() : notices.drop(code)),
});

/** @type {LiveSession | null} */
let live = null;
/** Where the live session begins on the sheet's timeline, in seconds. */
let liveBase = 0;
/** @type {StreamState} */
let streamState = { phase: "idle" };
/** @type {FileJob | null} */
let job = null;

/** @param {Problem} problem @param {"alert" | "status"} [role] */
function tellProblem(problem, role = "alert") {
  if (problem.code === "unauthorized") controls.askForKey();
  notices.show(problem.code, role, advise(problem));
}

function toggled() {
  const { source } = controls;
  if (live !== null) {
    void stopLive(live);
    return;
  }
  if (job !== null) {
    job.cancel();
    return;
  }
  notices.clear();
  if (source === "file" && controls.file === undefined) {
    tellProblem({ code: "no_file" });
    controls.askForFile();
  } else if (!sheet.makeRoom(source)) {
    tellProblem({ code: "unsaved" }, "status");
  } else if (source === "file") {
    void runFile(/** @type {File} */ (controls.file));
  } else {
    void startLive(source, controls.liveSource);
  }
}

// Live sound

/**
 * @param {"microphone" | "tab"} source As it was chosen.
 * @param {"microphone" | "tab" | "both"} heard
 */
async function startLive(source, heard) {
  const session = new LiveSession({
    source: heard,
    deviceId: controls.deviceId,
    language: controls.language,
    key: controls.key,
    tell: (event) => {
      if (live === session) onLive(event, source);
    },
  });
  live = session;
  meter.reset();
  controls.show(true, "Cancel");
  controls.label(source === "tab" ? "A shared tab" : "Microphone");
  sheet.expect(true);
  stateLine.show("asking", source === "tab" ? "Choose what to share" : "Waiting for permission");
  if (!(await session.start())) {
    if (live === session) endLive("idle", "Ready");
    return;
  }
  keepAwake(true);
  await controls.refreshDevices(); // whose names are known now
}

/** @param {LiveSession} session */
async function stopLive(session) {
  const asking = streamState.phase === "idle";
  await session.stop();
  if (asking && live === session) endLive("idle", "Ready");
}

/**
 * @param {string} phase
 * @param {string} text
 */
function endLive(phase, text) {
  live = null;
  streamState = { phase: "idle" };
  retry.hidden = true;
  for (const hint of ["muted", "silence", "offline"]) notices.drop(hint);
  keepAwake(false);
  meter.reset();
  controls.show(false);
  sheet.endTake();
  sheet.expect(false);
  stateLine.show(phase, text);
}

/**
 * @param {import("./live.js").LiveEvent} event
 * @param {"microphone" | "tab"} source
 */
function onLive(event, source) {
  switch (event.type) {
    case "level":
      return meter.push(event.level);
    case "captured":
      liveBase = sheet.begin(source);
      if (event.label !== "") controls.label(event.label);
      return;
    case "problem":
      return tellProblem({ code: event.code });
    case "hint":
      if (event.active) tellProblem({ code: event.code }, "status");
      else notices.drop(event.code);
      return;
    case "take":
      if (!event.fresh) tellProblem({ code: "session_lost" }, "status");
      return sheet.beginTake(liveBase + event.offset);
    case "transcript":
      return sheet.apply(event);
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
    if (reason === "refused") endLive("idle", "Ready");
    else endLive("ended", `Ended · ${clockTime(live?.seconds ?? 0)}`);
    return;
  }
  if (state.phase === "live") notices.drop("offline");
  else meter.speech = false;
  controls.show(true, state.phase === "finishing" ? "End now" : "Stop");
  sheet.expect(true, state.phase === "live" ? "Listening…" : "");
  showStreamState();
}

function showStreamState() {
  if (live === null) return;
  retry.hidden = streamState.phase !== "waiting";
  const clock = clockTime(live.seconds);
  if (streamState.phase === "connecting") {
    stateLine.show("connecting", streamState.again ? "Reconnecting…" : "Connecting…");
  } else if (streamState.phase === "live") {
    stateLine.show("live", `Live · ${clock}`, "Live");
  } else if (streamState.phase === "waiting" && !navigator.onLine) {
    stateLine.show("waiting", "Offline");
  } else if (streamState.phase === "waiting") {
    const seconds = Math.max(0, Math.ceil((streamState.retryAt - performance.now()) / 1000));
    stateLine.show("waiting", `Reconnecting in ${seconds} s`, "Connection lost, reconnecting");
  } else if (streamState.phase === "finishing") {
    stateLine.show("finishing", "Finishing…");
  }
}

setInterval(showStreamState, CLOCK_EVERY_MS);

window.addEventListener("offline", () => {
  if (live !== null) tellProblem({ code: "offline" }, "status");
});
window.addEventListener("online", () => {
  notices.drop("offline");
  live?.retryNow();
});
retry.addEventListener("click", () => {
  controls.focus();
  live?.retryNow();
});

// A file

/** @param {File} file */
async function runFile(file) {
  if (file.size > controls.maxUploadBytes) {
    const megabytes = Math.floor(controls.maxUploadBytes / 1e6);
    tellProblem({ code: "too_large", message: `It takes up to ${megabytes} MB.` });
    return;
  }
  let heard = false;
  job = new FileJob({
    base: location.href,
    key: controls.key,
    tell: (event) => {
      if (event.type === "result" && !heard) {
        heard = true;
        sheet.begin("file");
      }
      onJob(event, file.name);
    },
  });
  controls.show(true, "Cancel");
  controls.label(file.name);
  sheet.expect(true);
  progress.show(`Sending ${file.name}`, null);
  stateLine.show("file", "Sending…");
  let text = "Done";
  try {
    if ((await job.run(file, controls.language)) === "cancelled") text = "Cancelled";
    else if (!heard) tellProblem({ code: "no_words" }, "status");
  } catch (error) {
    text = "Failed";
    tellProblem(error instanceof JobError ? error.problem : { code: "page", message: String(error) });
  }
  job = null;
  progress.hide();
  controls.show(false);
  sheet.endTake();
  sheet.expect(false);
  stateLine.show("ended", text);
}

/**
 * @param {import("./file-job.js").JobEvent} event
 * @param {string} name Of the file.
 */
function onJob(event, name) {
  if (event.type === "result") {
    sheet.apply(event.result);
  } else if (event.type === "accepted") {
    progress.show(`Reading ${name}`, null);
    stateLine.show("file", "Transcribing");
  } else {
    const { done, total } = event;
    const share = total !== null && total > 0 ? Math.min(1, done / total) : null;
    progress.show(`${clockTime(done)}${total === null ? "" : ` of ${clockTime(total)}`}`, share);
    const percent = share === null ? "" : ` ${Math.floor(100 * share)} %`;
    stateLine.show("file", `Transcribing${percent}`, "Transcribing");
  }
}

window.addEventListener("beforeunload", (event) => {
  if (live !== null || job !== null) event.preventDefault();
});

void controls.refreshDevices();
void controls.greetServer();
