/**
 * Where the server is and how to talk to it, as the options page keeps it in this browser's profile.
 */

/**
 * @typedef {object} Settings
 * @property {string} server Its origin, such as `http://127.0.0.1:8080`.
 * @property {string} key Access key; "" for none.
 * @property {string} language BCP 47 tag; "" for the server's own.
 * @property {"opus" | "pcm_s16le"} codec How the sound is sent: compressed, or as it is.
 * @property {boolean} microphone Whether the microphone was wanted last.
 */

/** @type {Readonly<Settings>} */
export const DEFAULTS = { server: "http://127.0.0.1:8080", key: "", language: "", codec: "opus", microphone: false };

/** @returns {Promise<Settings>} */
export async function readSettings() {
  const found = await chrome.storage.local.get({ ...DEFAULTS });
  return {
    server: readAddress(found["server"]) ?? DEFAULTS.server,
    key: text(found["key"]),
    language: text(found["language"]),
    codec: readCodec(found["codec"]),
    microphone: found["microphone"] === true,
  };
}

/** @param {Partial<Settings>} settings */
export function keepSettings(settings) {
  return chrome.storage.local.set(settings);
}

/**
 * The origin of a server's address as somebody types it: without a scheme it is http on this machine, https elsewhere.
 *
 * @param {unknown} typed
 * @returns {string | null} Null for what is no address of a server.
 */
export function readAddress(typed) {
  const trimmed = text(typed).trim();
  if (trimmed === "") return null;
  const near = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(?=[:/]|$)/i.test(trimmed);
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `${near ? "http" : "https"}://${trimmed}`;
  try {
    const url = new URL(whole);
    if (url.username !== "" || url.password !== "" || url.hostname === "") return null;
    return url.protocol === "http:" || url.protocol === "https:" ? url.origin : null;
  } catch {
    return null;
  }
}

/** @param {unknown} value @returns {Settings["codec"]} */
export const readCodec = (value) => (value === "pcm_s16le" ? value : "opus");

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}
