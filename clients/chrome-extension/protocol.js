/**
 * What the parts of the extension tell each other, and what they keep. The offscreen document owns the stream; the worker
 * opens and closes it and may be ended by Chrome at any time in between, so it keeps nothing in variables.
 */

/** @typedef {import("./problems.js").Problem} Problem */
/** @typedef {import("./web/transcript.js").Line} Line */

/**
 * @typedef {object} Tab A tab whose sound may be captured.
 * @property {number} tabId
 * @property {string} title "" where Chrome keeps it to itself.
 */

/**
 * @typedef {object} StartOptions
 * @property {Tab} tab
 * @property {string} streamId What Chrome hands out the tab's sound for.
 * @property {boolean} microphone Whether what is said here is captioned too.
 * @property {import("./settings.js").Settings} settings
 */

/**
 * `idle` before the first, `starting` until the sound is there, `ended` after the last word.
 *
 * @typedef {"idle" | "starting" | "connecting" | "live" | "waiting" | "finishing" | "ended"} Phase
 */

/**
 * @typedef {object} Status
 * @property {Phase} phase
 * @property {number | null} retryAt While waiting for the next attempt: when it comes, in milliseconds since 1970.
 * @property {Tab} tab
 * @property {boolean} microphone
 * @property {number} playing Root mean square of what is played here, so that the tab stays audible; 0 to 1.
 */

/**
 * @typedef {object} Last What is left of a capture that has ended.
 * @property {Tab} tab
 * @property {Line[]} lines
 * @property {Problem | null} problem Why it ended, where nobody stopped it.
 */

/**
 * To the worker: `start` is answered by a problem or null; `over` comes from the offscreen document, once; `check` asks to
 * look whether it is still there.
 *
 * @typedef {{to: "worker", type: "start", microphone: boolean}
 *   | {to: "worker", type: "check"}
 *   | {to: "worker", type: "over", last: Last}} ToWorker
 */

/**
 * To the offscreen document: `start` is answered by a problem or null, `status` by a status.
 *
 * @typedef {{to: "offscreen", type: "start", options: StartOptions}
 *   | {to: "offscreen", type: "stop"}
 *   | {to: "offscreen", type: "retry"}
 *   | {to: "offscreen", type: "status"}} ToOffscreen
 */

/**
 * From the offscreen document to each panel that is open: all of it first, then what changes. `partials` are all that
 * are open, `levels` are of 20 ms each, 0 to 1; a `passing` problem is about to be mended.
 *
 * @typedef {{type: "lines", lines: Line[]}
 *   | {type: "final", line: Line}
 *   | {type: "partials", lines: Line[]}
 *   | {type: "status", status: Status}
 *   | {type: "levels", levels: number[]}
 *   | {type: "problem", problem: Problem, passing: boolean}
 *   | {type: "solved", code: string}} ToPanel
 */

/** The name of the port between panel and offscreen document. */
export const PANEL_PORT = "panel";

/**
 * @template {ToWorker | ToOffscreen} M
 * @param {M} message
 * @returns {Promise<any>} The answer; undefined where nobody was there to give one.
 */
export async function send(message) {
  try {
    return await chrome.runtime.sendMessage(message);
  } catch (error) {
    if (error instanceof Error && /Receiving end does not exist|message port closed/i.test(error.message)) return undefined;
    throw error;
  }
}

/**
 * Answer the messages that are for one part.
 *
 * @template {ToWorker | ToOffscreen} M
 * @param {M["to"]} part
 * @param {(message: M) => Promise<unknown>} handle
 * @param {(error: unknown) => unknown} failed What to answer where `handle` throws.
 */
export function answer(part, handle, failed) {
  chrome.runtime.onMessage.addListener((message, sender, reply) => {
    if (sender.id !== chrome.runtime.id || message?.to !== part) return false;
    handle(message).then(reply, (error) => reply(failed(error)));
    return true; // the answer comes later
  });
}

// What is kept until the browser is closed, in memory

/**
 * @typedef {object} Kept
 * @property {Tab} [target] The tab on which the icon was clicked last: the one that Chrome lets us capture.
 * @property {number} [clickedAt] When that was, in milliseconds since 1970.
 * @property {Tab} [running] The tab that is being captured.
 * @property {Last} [last]
 */

/** @returns {Promise<Kept>} */
export function kept() {
  return chrome.storage.session.get(["target", "running", "last"]);
}

/** @param {Kept} values */
export function keep(values) {
  return chrome.storage.session.set(values);
}

/** @param {keyof Kept} name */
export function forget(name) {
  return chrome.storage.session.remove(name);
}
