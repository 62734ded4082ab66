/**
 * Where captured sound comes from: a microphone, a tab that is shared, or a stream that is handed in.
 */

import { RtcError } from "./errors.js";
import { CALL_CONSTRAINTS, captureProblem, openMicrophone, refusalCode } from "./microphone.js";

/** @typedef {"microphone" | "tab" | "stream"} SourceKind */

/**
 * @typedef {object} Source One that is open.
 * @property {SourceKind} kind
 * @property {"me" | "them"} side
 * @property {MediaStream} stream
 * @property {boolean} owned Whether it was opened here, and is let go of here.
 */

/**
 * What is asked of a microphone. `call` takes out of it what the loudspeakers play; `recognition` leaves the sound as it
 * is, but for its level, for echo and noise suppression distort what a recogniser hears; `music` leaves all of it.
 *
 * @type {Readonly<Record<"call" | "recognition" | "music", MediaTrackConstraints>>}
 */
export const PRESETS = {
  call: CALL_CONSTRAINTS,
  recognition: {
    channelCount: { ideal: 1 },
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: true,
  },
  music: {
    sampleRate: { ideal: 48_000 },
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
  },
};

/**
 * Why this browser, on this address, cannot capture at all; found out before anybody is asked.
 *
 * @param {SourceKind | "both"} source
 * @returns {"insecure" | "no_capture" | "no_tab_capture" | null}
 */
export function sourceProblem(source) {
  if (source === "stream") return null;
  const problem = captureProblem();
  if (problem !== null) return problem;
  const devices = /** @type {Partial<MediaDevices>} */ (navigator.mediaDevices);
  return source !== "microphone" && devices.getDisplayMedia === undefined ? "no_tab_capture" : null;
}

/**
 * @typedef {object} Device
 * @property {string} id
 * @property {string} label Empty until the user has once allowed the microphone.
 */

/**
 * @param {"audioinput" | "audiooutput"} kind
 * @returns {Promise<Device[]>}
 */
export async function listDevices(kind) {
  if (captureProblem() !== null) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter((device) => device.kind === kind && device.deviceId !== "")
    .map((device) => ({ id: device.deviceId, label: device.label }));
}

/**
 * Have the user choose a tab (or what else the browser offers) and share its sound.
 *
 * @returns {Promise<MediaStream>}
 * @throws {RtcError}
 */
export async function shareTab() {
  const problem = sourceProblem("tab");
  if (problem !== null) throw new RtcError(problem);
  /** @type {DisplayMediaStreamOptions & Record<string, unknown>} */
  const options = {
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    video: { frameRate: 1 }, // browsers share a tab's sound only along with its picture
    systemAudio: "include",
    selfBrowserSurface: "exclude",
    surfaceSwitching: "include",
  };
  /** @type {MediaStream} */
  let media;
  try {
    media = await navigator.mediaDevices.getDisplayMedia(options);
  } catch (error) {
    throw RtcError.because(refusalCode(error), error);
  }
  if (media.getAudioTracks().length === 0) {
    release(media);
    throw new RtcError("no_tab_audio");
  }
  return media;
}

/**
 * Open what was asked for. The tab comes first, since browsers let a page share it only for a moment after a click.
 *
 * @param {"microphone" | "tab" | "both" | {me?: MediaStream, them?: MediaStream}} wanted
 * @param {object} options
 * @param {string} options.deviceId "" for the system's choice.
 * @param {MediaTrackConstraints} options.constraints
 * @returns {Promise<Source[]>} This side first.
 * @throws {RtcError}
 */
export async function openSources(wanted, { deviceId, constraints }) {
  if (typeof wanted === "object") return handedIn(wanted);
  const problem = sourceProblem(wanted);
  if (problem !== null) throw new RtcError(problem);
  const tab = wanted === "microphone" ? null : await shareTab();
  try {
    const microphone = wanted === "tab" ? null : await openMicrophone(deviceId, constraints);
    return [
      ...(microphone === null ? [] : [source("microphone", "me", microphone)]),
      ...(tab === null ? [] : [source("tab", "them", tab)]),
    ];
  } catch (error) {
    if (tab !== null) release(tab);
    throw error;
  }
}

/** @param {{me?: MediaStream, them?: MediaStream}} streams @returns {Source[]} */
function handedIn({ me, them }) {
  const sources = [
    ...(me === undefined ? [] : [source("stream", "me", me)]),
    ...(them === undefined ? [] : [source("stream", "them", them)]),
  ];
  if (sources.length === 0) throw new TypeError("hand in me, them, or both");
  for (const { stream } of sources) {
    if (stream.getAudioTracks().length === 0) throw new RtcError("stream_ended", { message: "That stream has no sound" });
  }
  return sources;
}

/**
 * @param {SourceKind} kind
 * @param {"me" | "them"} side
 * @param {MediaStream} stream
 * @returns {Source}
 */
const source = (kind, side, stream) => ({ kind, side, stream, owned: kind !== "stream" });

/**
 * Why a source of that kind ceases.
 *
 * @type {Readonly<Record<SourceKind, "device_gone" | "sharing_ended" | "stream_ended">>}
 */
export const CEASED = { microphone: "device_gone", tab: "sharing_ended", stream: "stream_ended" };

/** @param {MediaStream} stream */
export function release(stream) {
  for (const track of stream.getTracks()) track.stop();
}
