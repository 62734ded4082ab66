/**
 * A microphone as calls need it: without echo, noise and ups and downs.
 */

import { RtcError } from "./errors.js";

/**
 * @typedef {"insecure" | "no_capture" | "denied" | "dismissed" | "no_device" | "device_missing" | "device_busy"
 *   | "capture_failed"} MicrophoneProblem
 */

/** @type {MediaTrackConstraints} What a call asks of a microphone. */
export const CALL_CONSTRAINTS = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  sampleRate: { ideal: 48_000 },
  channelCount: { ideal: 1 },
};

/**
 * Why this browser, on this address, cannot capture at all.
 *
 * @returns {"insecure" | "no_capture" | null}
 */
export function captureProblem() {
  if (globalThis.isSecureContext === false) return "insecure";
  const devices = /** @type {Partial<MediaDevices> | undefined} */ (navigator.mediaDevices);
  return devices?.getUserMedia === undefined ? "no_capture" : null;
}

/**
 * What an error of `getUserMedia` means (Media Capture and Streams, section 10.2).
 *
 * @param {unknown} error
 * @returns {MicrophoneProblem}
 */
export function refusalCode(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  /** @type {Record<string, MicrophoneProblem>} */
  const codes = {
    NotAllowedError: /dismissed/i.test(message) ? "dismissed" : "denied",
    SecurityError: "denied",
    NotFoundError: "no_device",
    OverconstrainedError: "device_missing",
    NotReadableError: "device_busy",
    AbortError: "device_busy",
    InvalidStateError: "capture_failed",
  };
  return codes[name] ?? "capture_failed";
}

/**
 * @param {string} [deviceId] "" for the system's choice.
 * @param {MediaTrackConstraints} [constraints]
 * @returns {Promise<MediaStream>}
 * @throws {RtcError} With the code of a `MicrophoneProblem`.
 */
export async function openMicrophone(deviceId = "", constraints = CALL_CONSTRAINTS) {
  const problem = captureProblem();
  if (problem !== null) throw new RtcError(problem);
  const chosen = deviceId === "" ? {} : { deviceId: { exact: deviceId } };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...constraints, ...chosen } });
  } catch (error) {
    throw RtcError.because(refusalCode(error), error);
  }
}

/** @param {MediaStream | null} stream */
export function releaseMicrophone(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
