/**
 * The offscreen document: owns the captured sound and its stream to the server, from the first word to the last. Panels
 * come and go, and so does the worker.
 */

import { problem, tabProblem } from "./problems.js";
import { PANEL_PORT, answer, send } from "./protocol.js";
import { TabSession } from "./tab-session.js";

/** @typedef {import("./protocol.js").StartOptions} StartOptions */
/** @typedef {import("./protocol.js").ToOffscreen} ToOffscreen */
/** @typedef {import("./protocol.js").ToPanel} ToPanel */

/** @type {Set<chrome.runtime.Port>} */
const panels = new Set();
/** @type {TabSession | null} */
let session = null;

chrome.runtime.onConnect.addListener((port) => {
  if (port.name !== PANEL_PORT || port.sender?.id !== chrome.runtime.id) return;
  panels.add(port);
  port.onDisconnect.addListener(() => panels.delete(port));
  for (const message of session?.snapshot() ?? []) port.postMessage(message);
});

answer(
  "offscreen",
  async (/** @type {ToOffscreen} */ message) => {
    switch (message.type) {
      case "start":
        return start(message.options);
      case "status":
        return session?.status ?? null;
      case "stop":
        return session?.stop();
      case "retry":
        return session?.retryNow();
    }
  },
  tabProblem,
);

/**
 * @param {StartOptions} options
 * @returns {Promise<import("./problems.js").Problem | null>}
 */
async function start(options) {
  if (session !== null) return problem("running");
  const opened = new TabSession(options, { tell, over });
  session = opened;
  const failed = await opened.open();
  if (failed !== null) session = null;
  return failed;
}

/** @param {ToPanel} message */
function tell(message) {
  for (const panel of panels) panel.postMessage(message);
}

/** @param {import("./protocol.js").Last} last */
function over(last) {
  session = null;
  void send({ to: "worker", type: "over", last }); // which closes this document
}
