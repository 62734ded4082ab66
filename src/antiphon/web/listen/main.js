/**
 * The listening page: a stream of a file, a room or a text, and what it takes to play it without a gap.
 */

import { Notices } from "../notices.js";
import { StateLine, element } from "../page.js";
import { RtcError } from "../sdk/errors.js";
import { StreamPlayer } from "../sdk/stream-player.js";
import { adviseListener } from "./advice.js";
import { Course } from "./course.js";
import { Figures } from "./figures.js";
import { ListenForm } from "./form.js";

/** Characters of an address that any server and proxy take; a longer text goes as a message. */
const MOST_IN_ADDRESS = 4_000;

/** @typedef {import("../sdk/player/events.js").PlayerState} PlayerState */
/** @typedef {import("../sdk/player/events.js").Started} Started */

const stateLine = new StateLine();
const notices = new Notices(element("notices", HTMLDivElement));
const lead = element("lead", HTMLParagraphElement);
const place = element("place", HTMLParagraphElement);
const retry = element("retry", HTMLButtonElement);
const unblock = element("unblock", HTMLButtonElement);
const course = new Course();
const figures = new Figures();
const form = new ListenForm({
  toggled: () => void (player === null ? play() : stop()),
  paused: () => void pause(),
  bitrate: (bitrate) => {
    if (player !== null && player.state !== "reconnecting") player.setBitrate(bitrate);
  },
  volume: (chosen) => {
    volume = chosen;
    if (player !== null) player.volume = chosen;
  },
  tell: (error) => {
    for (const code of ["unauthorized", "unreachable"]) notices.drop(code);
    if (error !== null) tell(error, "status");
  },
});

/** @type {StreamPlayer | null} */
let player = null;
/** @type {Started | null} */
let started = null;
let volume = 1;
/** Whether the text goes as a message, and it ends with it. */
let asMessage = false;

/** @param {unknown} error @param {"alert" | "status"} [role] */
function tell(error, role = "alert") {
  const known = RtcError.because("player_failed", error);
  if (known.code === "unauthorized") form.askForKey();
  if (known.code === "not_found") void form.refresh();
  notices.show(known.code, role, adviseListener(known, form.kind));
}

async function play() {
  notices.clear();
  const playing = new StreamPlayer({ key: form.key });
  player = playing;
  started = null;
  playing.volume = volume;
  listen(playing);
  form.show(true);
  course.start();
  lead.textContent = form.title;
  place.textContent = "";
  showState("connecting");
  const wanted = form.wanted;
  asMessage = form.kind === "say" && encodeURIComponent(wanted.source).length > MOST_IN_ADDRESS;
  try {
    await playing.listen(asMessage ? { ...wanted, source: "say:" } : wanted);
  } catch (error) {
    if (player === playing) finish(error);
  }
}

/** @param {StreamPlayer} playing */
function listen(playing) {
  const current = () => player === playing;
  playing.on("state", ({ state }) => current() && showState(state));
  playing.on("started", (now) => {
    if (!current()) return;
    const again = started !== null;
    started = now;
    form.showBitrate(now.bitrate);
    for (const code of ["gone", "unreachable"]) notices.drop(code);
    if (!asMessage) return;
    if (again) return finish(new RtcError("gone", { message: "The connection was lost while the text was read" }));
    playing.say(form.text, form.manner);
  });
  playing.on("said", () => current() && asMessage && playing.end());
  playing.on("stats", (stats) => {
    if (!current()) return;
    course.add(stats);
    figures.show(stats);
    showPlace(stats.position);
  });
  playing.on("bitrate-change", ({ bitrate }) => current() && form.showBitrate(bitrate));
  playing.on("dropped", ({ total }) => {
    if (!current()) return;
    const title = `The server dropped ${total === 1 ? "a packet" : `${total} packets`}`;
    const action = "This device or its network does not keep up. A lower bitrate may help.";
    notices.show("dropped", "status", { title, action });
  });
  playing.on("reconnecting", ({ delay }) => {
    if (!current()) return;
    const text = navigator.onLine ? `Reconnecting in ${Math.max(1, Math.ceil(delay / 1_000))} s` : "Offline";
    stateLine.show("waiting", text, "Connection lost, reconnecting");
  });
  playing.on("error", ({ error }) => {
    if (!current()) return;
    if (asMessage) finish(error); // about the text: nothing else was sent
    else tell(error, "status");
  });
  playing.on("failed", ({ error }) => current() && finish(error));
  playing.on("ended", ({ reason }) => {
    if (!current()) return;
    finish(null);
    stateLine.show("ended", "Ended");
    place.textContent = reason === "complete" ? "It was played to its end." : `The server ended it: ${reason}.`;
  });
}

/** @param {PlayerState} state */
function showState(state) {
  retry.hidden = state !== "reconnecting";
  unblock.hidden = state !== "blocked";
  form.showPaused(state === "paused");
  if (state === "blocked") {
    const action = "Browsers let a page play only after a click: press “Switch the sound on”. Nothing is missed until then.";
    notices.show("blocked", "status", { title: "The browser holds the sound back", action });
  } else notices.drop("blocked");
  switch (state) {
    case "connecting":
      return stateLine.show("connecting", "Connecting…");
    case "buffering":
      return stateLine.show("connecting", "Buffering…");
    case "playing":
      return stateLine.show("live", "Playing");
    case "paused":
      return stateLine.show("idle", "Paused");
    case "blocked":
      return stateLine.show("waiting", "Waiting for a click");
    case "reconnecting":
      return stateLine.show("waiting", "Reconnecting…", "Connection lost, reconnecting");
  }
}

/** @param {number} position Seconds. */
function showPlace(position) {
  if (started === null) return;
  const { live, duration, sampleRate, frameMs } = started;
  const how = `Opus, ${sampleRate / 1_000} kHz, ${frameMs} ms`;
  const where = live ? "live" : `${clock(position)}${duration === null ? "" : ` of ${clock(duration)}`}`;
  const text = `${where} · ${how}`;
  if (place.textContent !== text) place.textContent = text;
}

async function pause() {
  if (player === null) return;
  if (player.state === "paused") await player.resume();
  else player.pause();
}

function stop() {
  finish(null);
  stateLine.show("idle", "Ready");
  place.textContent = "Stopped.";
}

/** @param {unknown} error Null for none. */
function finish(error) {
  const playing = player;
  player = null;
  if (playing !== null) figures.show(playing.stats, { now: true });
  playing?.close();
  course.stop();
  retry.hidden = unblock.hidden = true;
  notices.drop("blocked");
  form.show(false);
  if (error === null) return;
  stateLine.show("idle", "Stopped");
  place.textContent = "Nothing is playing.";
  tell(error);
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

retry.addEventListener("click", () => player?.retryNow());
unblock.addEventListener("click", () => void player?.unblock());
window.addEventListener("pagehide", () => player?.close());
window.addEventListener("pageshow", (event) => {
  if (event.persisted && player !== null) stop();
});

void form.refresh();
