/**
 * The page of rooms: a microphone, the others, and what is said.
 */

import { advise } from "../messages.js";
import { Notices } from "../notices.js";
import { StateLine, element } from "../page.js";
import { RtcError } from "../sdk/errors.js";
import { SpeakingDetector, StreamLevel } from "../sdk/levels.js";
import { SERVER, WebRTCManager } from "../sdk/webrtc-manager.js";
import { keepAwake } from "../wake.js";
import { Checker } from "./checker.js";
import { ConnectionCard, worst } from "./connection.js";
import { RoomForm } from "./form.js";
import { Playback } from "./playback.js";
import { Voices } from "./voices.js";
import { Words } from "./words.js";

const LEVELS_EVERY_MS = 100;
const QUALITY_EVERY_MS = 2_000;
const COPIED_MS = 2_000;
const SILENT_LEVEL = 1 / 0x8000;
const SILENT_LOOKS = 5_000 / LEVELS_EVERY_MS;

const stateLine = new StateLine();
const notices = new Notices(element("notices", HTMLDivElement));
const voices = new Voices(element("voices", HTMLUListElement));
const card = new ConnectionCard();
const words = new Words();
const empty = element("empty", HTMLDivElement);
const lead = element("lead", HTMLParagraphElement);
const leadHint = element("lead-hint", HTMLParagraphElement);
const news = element("news", HTMLParagraphElement);
const retry = element("retry", HTMLButtonElement);
const unblock = element("unblock", HTMLButtonElement);
const invite = element("invite", HTMLButtonElement);
const playback = new Playback((blocked) => {
  unblock.hidden = !blocked;
});
const form = new RoomForm({
  toggled: () => void (manager === null ? join() : leave()),
  muted: toggleMuted,
  chosen: (deviceId) => void changeMicrophone(deviceId),
  tell: (problem) => {
    for (const code of ["unauthorized", "unreachable"]) notices.drop(code);
    if (problem?.code === "unauthorized") form.askForKey();
    if (problem !== null) notices.show(problem.code, "status", advise(problem));
  },
});
const checker = new Checker(() => form.key);

/** @type {WebRTCManager | null} */
let manager = null;
/** @type {StreamLevel | null} */
let ownLevel = null;
/** In a direct room nobody else says whether this side speaks. */
let ownVoice = new SpeakingDetector();
let speaking = false;
let silentLooks = 0;
/** @type {import("./form.js").Way} */
let way = "relay";

/** @param {unknown} error @param {"alert" | "status"} [role] */
function tell(error, role = "alert") {
  const { code, message, action, detail, retryAfter } = RtcError.because("page", error);
  if (code === "unauthorized") form.askForKey();
  const known = advise({ code, message, retryAfter });
  if (action !== "") notices.show(code, role, { title: message, action, detail: "" });
  else notices.show(code, role, { ...known, detail: known.detail || detail });
}

async function join() {
  notices.clear();
  way = form.way;
  const topology = way === "direct" ? "peers" : "server";
  const joining = new WebRTCManager({
    server: location.href,
    key: form.key,
    topology,
    iceTransportPolicy: new URLSearchParams(location.search).has("relay") ? "relay" : "all",
  });
  manager = joining;
  listen(joining);
  form.show("entering");
  stateLine.show("asking", "Waiting for permission");
  try {
    await joining.initialize({ deviceId: form.deviceId });
    if (manager !== joining) return;
    void form.refreshDevices(); // whose names are known now
    stateLine.show("connecting", "Joining…");
    const { user, room, captions } = form;
    const joined = await joining.join({
      room,
      user,
      role: "participant",
      ...(way === "direct" ? {} : { mode: way }),
      ...(captions === null ? {} : { captions }),
    });
    if (manager !== joining) return;
    if (way !== "direct" && joined.mode !== way) {
      const made = joined.mode === "mix" ? "mixes" : "relays";
      notices.show("mode", "status", { title: `This room ${made}`, action: "Whoever came first has chosen that." });
    }
    if (joining.localStream !== null) ownLevel = new StreamLevel(joining.localStream);
    ownVoice = new SpeakingDetector();
    silentLooks = 0;
    words.begin();
    form.show("in");
    form.showMuted(false);
    invite.disabled = false;
    keepAwake(true);
    showRoom();
    showState();
  } catch (error) {
    if (manager !== joining) return;
    leave();
    tell(error);
  }
}

function leave() {
  const leaving = manager;
  manager = null;
  leaving?.close();
  ownLevel?.close();
  ownLevel = null;
  playback.stop();
  voices.show([]);
  card.show(null);
  for (const hint of ["muted", "silence", "offline", "mode"]) notices.drop(hint);
  words.end();
  showEmpty();
  retry.hidden = true;
  invite.disabled = true;
  keepAwake(false);
  form.show("out");
  stateLine.show("idle", "Ready");
}

/** @param {WebRTCManager} joined */
function listen(joined) {
  const current = () => manager === joined;
  joined.on("state", () => current() && showState());
  for (const event of /** @type {const} */ (["peer-muted", "speaking", "slots", "connected", "disconnected"])) {
    joined.on(event, () => current() && showVoices());
  }
  joined.on("room", (room) => {
    if (!current()) return;
    captions = room.captions;
    showRoom();
  });
  joined.on("peer-joined", ({ user }) => current() && (showVoices(), announce(`${user || "Somebody"} joined`)));
  joined.on("peer-left", ({ user }) => current() && (showVoices(), announce(`${user || "Somebody"} left`)));
  joined.on("track", ({ track }) => {
    playback.prune();
    playback.play(track);
  });
  joined.on("transcript", (said) => current() && words.apply(said));
  joined.on("muted", ({ muted }) => current() && (form.showMuted(muted), showVoices()));
  joined.on("ended", () => current() && tell(new RtcError("device_gone")));
  joined.on("held", ({ active }) => {
    if (!active || !current()) return notices.drop("muted");
    notices.show("muted", "status", advise({ code: "muted" }));
  });
  joined.on("connected", () => {
    for (const code of ["no_answer", "connection_failed", "engine_unavailable", "offline"]) notices.drop(code);
  });
  joined.on("reconnecting", ({ peer, by, delay }) => {
    if (!current() || (peer !== SERVER && way !== "direct")) return;
    showVoices();
    if (by === "new-offer" && delay >= 1000 && peer === SERVER) {
      stateLine.show("waiting", `Reconnecting in ${Math.ceil(delay / 1000)} s`, "Connection lost, reconnecting");
    }
  });
  joined.on("failed", ({ peer, error }) => {
    if (!current()) return;
    if (peer === SERVER) leave();
    showVoices();
    tell(error);
  });
  joined.on("error", ({ error }) => current() && tell(error, "status"));
}

/** @param {string} text */
function announce(text) {
  news.textContent = text;
}

function showVoices() {
  if (manager === null) return;
  const joined = manager;
  const members = joined.participants.map((member) =>
    member.self && way === "direct" ? { ...member, speaking } : member,
  );
  voices.show(members, (id) => (id === joined.id ? null : joined.peerState(id)));
}

/** @type {string | null} Language of the room's captions. */
let captions = null;

function showRoom() {
  showVoices();
  words.expect(way === "direct" || captions === null ? "" : "Listening…");
  showEmpty();
}

function showEmpty() {
  const inside = manager !== null;
  empty.hidden = !words.isEmpty || (inside && captions !== null && way !== "direct");
  lead.textContent = inside ? "Nothing is written down here." : "Talk together, and read along.";
  leadHint.textContent = inside
    ? way === "direct"
      ? "The sound goes from browser to browser, and no server listens."
      : "Whoever joins with captions switched on has them written down for all."
    : "Whoever opens this page and joins the same room hears and is heard.";
}

function showState() {
  if (manager === null) return;
  const { state, muted } = manager;
  retry.hidden = state !== "reconnecting";
  if (state === "connecting") stateLine.show("connecting", "Connecting…");
  else if (state === "connected") stateLine.show("live", muted ? "Muted" : "Connected");
  else if (state === "reconnecting" && !navigator.onLine) stateLine.show("waiting", "Offline");
  else if (state === "reconnecting") stateLine.show("waiting", "Reconnecting…", "Connection lost, reconnecting");
}

function toggleMuted() {
  if (manager === null) return;
  if (manager.muted) manager.unmute();
  else manager.mute();
  showState();
}

/** @param {string} deviceId */
async function changeMicrophone(deviceId) {
  if (manager === null || manager.id === null) return; // it is used when joining
  const joined = manager;
  try {
    await joined.changeMicrophone(deviceId);
    notices.drop("device_gone");
    ownLevel?.close();
    ownLevel = joined.localStream === null ? null : new StreamLevel(joined.localStream);
  } catch (error) {
    if (manager === joined) tell(error);
  }
}

/**
 * A microphone that gives nothing at all is worth a word.
 *
 * @param {number} level
 * @param {boolean} muted
 */
function listenForSilence(level, muted) {
  const silent = level <= SILENT_LEVEL && !muted;
  if (!silent && silentLooks >= SILENT_LOOKS) notices.drop("silence");
  silentLooks = silent ? silentLooks + 1 : 0;
  if (silentLooks === SILENT_LOOKS) notices.show("silence", "status", advise({ code: "silence" }));
}

setInterval(() => {
  if (manager === null || manager.id === null) return;
  const levels = manager.levels();
  const level = ownLevel?.level ?? 0;
  listenForSilence(level, manager.muted);
  const own = ownVoice.look(level, performance.now());
  if (own !== speaking) {
    speaking = own;
    if (way === "direct") showVoices();
  }
  for (const { id, self, muted } of manager.participants) {
    voices.level(id, muted ? 0 : self ? level : (levels.get(id) ?? 0));
  }
}, LEVELS_EVERY_MS);

setInterval(async () => {
  const joined = manager;
  if (joined === null || joined.id === null) return;
  const stats = await joined.getStats();
  if (manager === joined) card.show(worst([...stats.values()]));
}, QUALITY_EVERY_MS);

document.addEventListener("keydown", (event) => {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  const typing = target instanceof HTMLElement && target.closest("input, select, textarea, dialog") !== null;
  if (key.toLowerCase() !== "m" || typing || ctrlKey || metaKey || altKey || manager?.id == null) return;
  event.preventDefault();
  toggleMuted();
});
retry.addEventListener("click", () => manager?.retryNow());
unblock.addEventListener("click", () => void playback.unblock());
element("check", HTMLButtonElement).addEventListener("click", () => checker.open());
invite.addEventListener("click", async () => {
  const url = new URL("/rooms.html", location.href);
  url.searchParams.set("room", form.room);
  if (way === "direct") url.searchParams.set("way", way);
  try {
    await navigator.clipboard.writeText(url.href);
    invite.textContent = "Copied";
  } catch {
    invite.textContent = "Not allowed";
  }
  setTimeout(() => {
    invite.textContent = "Copy invitation";
  }, COPIED_MS);
});
window.addEventListener("offline", () => {
  if (manager !== null) notices.show("offline", "status", { title: "This device has no network", action: "" });
});
window.addEventListener("online", () => notices.drop("offline"));
window.addEventListener("pagehide", () => manager?.close());

void form.refreshDevices();
void form.greetServer();
