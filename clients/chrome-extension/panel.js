/**
 * The side panel: shows what the offscreen document tells, and asks for a start or a stop. It may be closed and opened
 * again at any time; the captions are not its own.
 */

import { problem } from "./problems.js";
import { PANEL_PORT, kept, send } from "./protocol.js";
import { keepSettings, readSettings } from "./settings.js";
import { CaptionsView } from "./web/captions.js";
import { clockTime, toText } from "./web/exports.js";
import { StaveMeter } from "./web/meter.js";
import { Notices } from "./web/notices.js";
import { StateLine, element, saveAs } from "./web/page.js";
import { Transcript } from "./web/transcript.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./protocol.js").Line} Line */
/** @typedef {import("./protocol.js").Status} Status */
/** @typedef {import("./protocol.js").Tab} Tab */
/** @typedef {import("./protocol.js").ToPanel} ToPanel */

const CLOCK_EVERY_MS = 250;
const COPIED_MS = 2_000;

const stateLine = new StateLine();
const notices = new Notices(element("notices", HTMLDivElement));
const meter = new StaveMeter(element("level", HTMLCanvasElement), element("meter", HTMLDivElement));
const stave = element("stave", HTMLDivElement);
const view = new CaptionsView(
  {
    scroll: element("captions", HTMLDivElement),
    lines: element("lines", HTMLOListElement),
    partials: element("partials", HTMLOListElement),
    latest: element("latest", HTMLButtonElement),
  },
  heading,
);
const empty = element("empty", HTMLDivElement);
const tabLine = element("tab", HTMLParagraphElement);
const microphone = element("microphone", HTMLInputElement);
const toggle = element("toggle", HTMLButtonElement);
const retry = element("retry", HTMLButtonElement);
const save = element("save", HTMLButtonElement);
const copy = element("copy", HTMLButtonElement);

const transcript = new Transcript();
/** The tab on which the icon was clicked last. @type {Tab | null} */
let target = null;
/** Of the stream that runs; null without one. @type {Status | null} */
let status = null;
let starting = false;
/** @type {chrome.runtime.Port | null} */
let port = null;

/** @param {Line | null} line What stands beside the words: the time, and who spoke where that is not only the tab. */
function heading(line) {
  const head = document.createElement("div");
  head.className = "head";
  const time = document.createElement("time");
  if (line !== null) {
    time.textContent = clockTime(line.start);
    time.dateTime = `PT${line.start}S`;
  }
  head.append(time);
  if (line?.speaker) {
    const who = document.createElement("b");
    who.textContent = line.speaker;
    head.append(who);
  }
  return head;
}

function show() {
  const running = status !== null;
  view.show(transcript, status?.phase === "live" ? "Listening…" : "");
  empty.hidden = running || !transcript.isEmpty;
  stave.hidden = !running;
  save.disabled = copy.disabled = transcript.isEmpty;
  microphone.disabled = running || starting;
  toggle.disabled = starting;
  toggle.textContent = running ? (status?.phase === "finishing" ? "End now" : "Stop") : "Start";
  toggle.classList.toggle("stop", running);
  tabLine.textContent = tabText(status?.tab ?? target);
  showState();
}

/** @param {Tab | null} tab */
function tabText(tab) {
  if (tab === null) return "Click the Antiphon icon in the toolbar on the tab that you want captioned.";
  return tab.title === "" ? "The tab on which you clicked the icon" : tab.title;
}

function showState() {
  retry.hidden = status?.phase !== "waiting";
  if (status === null) {
    if (starting) stateLine.show("connecting", "Starting…");
    else stateLine.show("idle", transcript.isEmpty ? "Ready" : "Ended");
    return;
  }
  const { phase, retryAt } = status;
  if (phase === "waiting") {
    const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
    stateLine.show("waiting", `Reconnecting in ${seconds} s`, "Connection lost, reconnecting");
  } else {
    const names = { live: "Live", connecting: "Connecting…", finishing: "Finishing…", starting: "Starting…" };
    stateLine.show(phase, /** @type {Record<string, string>} */ (names)[phase] ?? "Ended");
  }
}

/** @param {Problem} found @param {"alert" | "status"} [role] */
function tell(found, role = "alert") {
  notices.show(found.code, role, found);
}

// The stream, which the offscreen document owns

function connect() {
  if (port !== null) return;
  const opened = chrome.runtime.connect({ name: PANEL_PORT });
  port = opened;
  opened.onMessage.addListener(take);
  opened.onDisconnect.addListener(() => {
    void chrome.runtime.lastError; // read, so that Chrome doesn't report it: nobody was there
    port = null;
    status = null;
    transcript.partials.clear();
    meter.reset();
    show();
    void send({ to: "worker", type: "check" });
  });
}

/** @param {ToPanel} message */
function take(message) {
  switch (message.type) {
    case "levels":
      for (const level of message.levels) meter.push(level);
      return;
    case "lines":
      transcript.clear();
      transcript.restore(message.lines);
      break;
    case "final":
      transcript.lines.push(message.line);
      break;
    case "partials":
      transcript.partials = new Map(message.lines.map((line) => [line.key, line]));
      meter.speech = message.lines.length > 0;
      break;
    case "status":
      status = message.status.phase === "ended" ? null : message.status;
      break;
    case "problem":
      tell(message.problem, message.passing ? "status" : "alert");
      break;
    case "solved":
      notices.drop(message.code);
      break;
  }
  show();
}

/** @param {import("./protocol.js").Last} last */
function showLast(last) {
  if (last.lines.length > 0) {
    transcript.clear();
    transcript.restore(last.lines);
  }
  if (last.problem !== null) tell(last.problem);
  show();
}

chrome.storage.session.onChanged.addListener(({ target: aimed, clickedAt, running, last }) => {
  if (aimed !== undefined) target = /** @type {Tab | undefined} */ (aimed.newValue) ?? null;
  if (clickedAt !== undefined) {
    notices.drop("no_target");
    notices.drop("not_invoked");
  }
  if (running?.newValue !== undefined) connect();
  if (last?.newValue !== undefined) showLast(/** @type {import("./protocol.js").Last} */ (last.newValue));
  show();
});

// What can be done here

async function start() {
  notices.clear();
  starting = true;
  show();
  const wanted = microphone.checked;
  await keepSettings({ microphone: wanted });
  /** @type {Problem | null | undefined} */
  let failed = null;
  if (wanted && !(await microphoneAllowed())) {
    // a side panel can't ask for it: the question is put on a page of its own
    await chrome.tabs.create({ url: chrome.runtime.getURL("permission.html") });
    failed = problem("microphone_refused");
  } else {
    failed = await send({ to: "worker", type: "start", microphone: wanted });
  }
  starting = false;
  if (failed !== null) tell(failed ?? problem("capture_lost"));
  show();
}

async function microphoneAllowed() {
  const permission = await navigator.permissions.query({ name: "microphone" });
  return permission.state === "granted";
}

element("desk", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  if (status !== null) void send({ to: "offscreen", type: "stop" });
  else void start();
});
retry.addEventListener("click", () => void send({ to: "offscreen", type: "retry" }));
window.addEventListener("online", () => void send({ to: "offscreen", type: "retry" }));
element("settings", HTMLButtonElement).addEventListener("click", () => void chrome.runtime.openOptionsPage());
save.addEventListener("click", () => saveAs("captions.txt", "text/plain", toText(transcript.lines)));
copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(toText(transcript.lines));
  copy.textContent = "Copied";
  setTimeout(() => (copy.textContent = "Copy"), COPIED_MS);
});
setInterval(showState, CLOCK_EVERY_MS);

const [found, settings] = await Promise.all([kept(), readSettings()]);
target = found.target ?? null;
microphone.checked = settings.microphone;
if (found.running !== undefined) connect();
else if (found.last !== undefined) showLast(found.last);
show();
