/**
 * The service worker: notes on which tab the icon was clicked, asks Chrome for that tab's sound, and opens and closes the
 * offscreen document that owns the stream. Chrome ends the worker when it has nothing to do and starts it anew for the
 * next event, so that all it knows is in storage or asked for.
 */

import { answer, forget, keep, kept, send } from "./protocol.js";
import { problem, tabProblem } from "./problems.js";
import { askServer } from "./server-check.js";
import { readSettings } from "./settings.js";

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./protocol.js").Last} Last */
/** @typedef {import("./protocol.js").Status} Status */
/** @typedef {import("./protocol.js").ToWorker} ToWorker */

const OFFSCREEN = "offscreen.html";
const RUBRIC = "#ad2831";

chrome.action.onClicked.addListener((tab) => {
  // before anything is waited for: Chrome opens a panel only in the moment of a click
  chrome.sidePanel.open({ windowId: tab.windowId }).catch(() => undefined);
  if (tab.id !== undefined) void keep({ target: { tabId: tab.id, title: tab.title ?? "" }, clickedAt: Date.now() });
});

chrome.runtime.onStartup.addListener(() => void navigator.locks.request("capture", check));
chrome.runtime.onInstalled.addListener(() => void navigator.locks.request("capture", check));

answer(
  "worker",
  // one after the other: two panels may start at once, or one just when the last capture ends
  (/** @type {ToWorker} */ message) => navigator.locks.request("capture", () => handle(message)),
  (error) => problem("capture_failed", { message: String(error) }),
);

/** @param {ToWorker} message @returns {Promise<unknown>} */
async function handle(message) {
  switch (message.type) {
    case "start":
      return start(message.microphone);
    case "check":
      return check();
    case "over":
      return over(message.last);
  }
}

/**
 * @param {boolean} microphone
 * @returns {Promise<Problem | null>}
 */
async function start(microphone) {
  if ((await check()) !== null) return problem("running");
  const { target } = await kept();
  if (target === undefined) return problem("no_target");
  const settings = await readSettings();
  const asked = await askServer(settings);
  if ("problem" in asked) return asked.problem;
  let streamId;
  try {
    streamId = await chrome.tabCapture.getMediaStreamId({ targetTabId: target.tabId });
  } catch (error) {
    return tabProblem(error);
  }
  await openOffscreen();
  await forget("last");
  /** @type {Problem | null | undefined} */
  const failed = await send({ to: "offscreen", type: "start", options: { tab: target, streamId, microphone, settings } });
  if (failed === null) {
    await keep({ running: target });
    await showRunning(true);
    return null;
  }
  await closeOffscreen();
  return failed ?? problem("capture_lost");
}

/**
 * The offscreen document has said its last words.
 *
 * @param {Last} last
 */
async function over(last) {
  await keep({ last });
  await forget("running");
  await showRunning(false);
  await closeOffscreen();
}

/**
 * Bring what is kept in line with what there is: the stream may go on while the worker is not, and may end with its
 * document.
 *
 * @returns {Promise<Status | null>} Of the stream that runs.
 */
async function check() {
  /** @type {Status | null} */
  const status = (await hasOffscreen()) ? ((await send({ to: "offscreen", type: "status" })) ?? null) : null;
  const { running } = await kept();
  if (status !== null) {
    if (running === undefined) await keep({ running: status.tab });
  } else if (running !== undefined) {
    await keep({ last: { tab: running, lines: [], problem: problem("capture_lost") } });
    await forget("running");
  }
  await showRunning(status !== null);
  return status;
}

/** @param {boolean} running */
async function showRunning(running) {
  await chrome.action.setBadgeBackgroundColor({ color: RUBRIC });
  await chrome.action.setBadgeText({ text: running ? "on" : "" });
}

async function hasOffscreen() {
  const contexts = await chrome.runtime.getContexts({ contextTypes: [chrome.runtime.ContextType.OFFSCREEN_DOCUMENT] });
  return contexts.length > 0;
}

async function openOffscreen() {
  if (await hasOffscreen()) return;
  await chrome.offscreen.createDocument({
    url: OFFSCREEN,
    reasons: [chrome.offscreen.Reason.USER_MEDIA],
    justification: "Takes the sound of the tab, sends it to the server that is set, and plays it back so that it stays audible.",
  });
}

async function closeOffscreen() {
  if (await hasOffscreen()) await chrome.offscreen.closeDocument().catch(() => undefined); // somebody else was quicker
}
