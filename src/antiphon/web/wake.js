/**
 * Keeps a phone's screen on while captions run, where the browser can (Screen Wake Lock API).
 */

/** @type {WakeLockSentinel | null} */
let lock = null;
let wanted = false;

async function request() {
  if (!wanted || lock !== null || document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
  try {
    const held = await navigator.wakeLock.request("screen");
    held.addEventListener("release", () => {
      lock = null;
    });
    lock = held;
    if (!wanted) await held.release();
  } catch {
    // Low battery, or not allowed: the screen then goes dark as it always does.
  }
}

document.addEventListener("visibilitychange", () => void request());

/** @param {boolean} on */
export function keepAwake(on) {
  wanted = on;
  if (on) void request();
  else void lock?.release();
}
