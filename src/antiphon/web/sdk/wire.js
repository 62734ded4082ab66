/**
 * What all doors of the server share.
 */

/**
 * @typedef {object} WireError The error shape.
 * @property {string} code
 * @property {string} message
 * @property {boolean} retryable
 * @property {number | null} retryAfter Seconds.
 */

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * @param {unknown} text
 * @returns {Record<string, unknown>} Empty for what is not a JSON object.
 */
export function parseObject(text) {
  if (typeof text !== "string") return {};
  try {
    /** @type {unknown} */
    const value = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/**
 * @param {unknown} wire
 * @returns {WireError}
 */
export function readError(wire) {
  const { code, message, retryable, retryAfter } = isRecord(wire) ? wire : {};
  return {
    code: typeof code === "string" ? code : "internal",
    message: typeof message === "string" ? message : "The server gave no reason.",
    retryable: retryable === true,
    retryAfter: typeof retryAfter === "number" && retryAfter >= 0 ? retryAfter : null,
  };
}

/**
 * @param {string} key Access key; "" for none.
 * @returns {Record<string, string>}
 */
export const keyHeaders = (key) => (key === "" ? {} : { Authorization: `Bearer ${key}` });
