/**
 * Sound from a microphone or a shared tab, as frames of 20 ms.
 */

import { refusalCode } from "./sdk/microphone.js";
import { FRAME_SAMPLES, SAMPLE_RATE } from "./stream.js";

const FINISH_DEADLINE_MS = 500;

/**
 * Why there is no sound. The first four are found before anything is asked of the user.
 *
 * @typedef {"insecure" | "no_capture" | "no_tab_capture" | "no_worklet"
 *   | "denied" | "dismissed" | "no_device" | "device_missing" | "device_busy" | "no_tab_audio" | "capture_failed"
 *   | "device_gone" | "sharing_ended" | "unreachable"} CaptureProblem
 */

export class CaptureError extends Error {
  /**
   * @param {CaptureProblem} code
   * @param {string} [detail] What the browser said.
   */
  constructor(code, detail = "") {
    super(detail || code);
    this.name = "CaptureError";
    this.code = code;
  }
}

/** @typedef {"microphone" | "tab"} LiveSource */

/**
 * @typedef {object} Microphone
 * @property {string} id
 * @property {string} label Empty until the user has once allowed the microphone.
 */

/**
 * Whether this browser, on this address, can capture at all.
 *
 * @param {LiveSource} source
 * @returns {CaptureProblem | null}
 */
export function captureProblem(source) {
  if (!window.isSecureContext) return "insecure";
  const devices = /** @type {Partial<MediaDevices> | undefined} */ (navigator.mediaDevices);
  if (devices?.getUserMedia === undefined) return "no_capture";
  if (source === "tab" && devices.getDisplayMedia === undefined) return "no_tab_capture";
  if (typeof AudioWorkletNode === "undefined") return "no_worklet";
  return null;
}

/** @returns {Promise<Microphone[]>} */
export async function listMicrophones() {
  if (captureProblem("microphone") !== null) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter((device) => device.kind === "audioinput" && device.deviceId !== "")
    .map((device) => ({ id: device.deviceId, label: device.label }));
}

/**
 * @typedef {object} CaptureOptions
 * @property {LiveSource} source
 * @property {string} deviceId Microphone to use; "" for the system's choice.
 * @property {(samples: Int16Array, level: number) => void} onFrame 20 ms of sound and its root mean square, 0 to 1.
 * @property {(problem: CaptureProblem) => void} onEnd The source ceased; not called for `stop`.
 * @property {(muted: boolean) => void} onMuted The system holds the sound back, or gives it again.
 */

/** A source of sound that is open. */
export class Capture {
  #media;
  #graph;

  /**
   * @param {MediaStream} media
   * @param {Graph} graph
   */
  constructor(media, graph) {
    this.#media = media;
    this.#graph = graph;
  }

  /** What the source is called by the browser. */
  get label() {
    return this.#media.getAudioTracks()[0]?.label ?? "";
  }

  /** Hand over the last frame and let go of the source. */
  async stop() {
    await this.#graph.finish();
    for (const track of this.#media.getTracks()) track.stop();
    await this.#graph.context.close();
  }

  /**
   * Ask for the source and open it.
   *
   * @param {CaptureOptions} options
   * @returns {Promise<Capture>}
   * @throws {CaptureError}
   */
  static async open({ source, deviceId, onFrame, onEnd, onMuted }) {
    const problem = captureProblem(source);
    if (problem !== null) throw new CaptureError(problem);
    const media = await (source === "tab" ? shareTab() : openMicrophone(deviceId));
    try {
      const graph = await openGraph(media, onFrame, () => onEnd("capture_failed"));
      const ended = source === "tab" ? "sharing_ended" : "device_gone";
      for (const track of media.getTracks()) {
        if (track.readyState === "ended") throw new CaptureError(ended);
        track.addEventListener("ended", () => onEnd(ended));
      }
      // a tab that plays nothing is muted too, and nothing is wrong with it
      for (const track of source === "microphone" ? media.getAudioTracks() : []) {
        track.addEventListener("mute", () => onMuted(true));
        track.addEventListener("unmute", () => onMuted(false));
      }
      return new Capture(media, graph);
    } catch (error) {
      for (const track of media.getTracks()) track.stop();
      throw error instanceof CaptureError ? error : new CaptureError("capture_failed", String(error));
    }
  }
}

/** @param {string} deviceId */
async function openMicrophone(deviceId) {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {
        ...(deviceId === "" ? {} : { deviceId: { exact: deviceId } }),
        channelCount: { ideal: 1 },
        echoCancellation: false, // nothing is played, and it distorts what a recogniser hears
        noiseSuppression: false,
        autoGainControl: true,
      },
    });
  } catch (error) {
    throw refusal(error);
  }
}

async function shareTab() {
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
    throw refusal(error);
  }
  if (media.getAudioTracks().length === 0) {
    for (const track of media.getTracks()) track.stop();
    throw new CaptureError("no_tab_audio");
  }
  return media;
}

/** @param {unknown} error Of the browser. */
function refusal(error) {
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new CaptureError(refusalCode(error), said);
}

/**
 * @typedef {object} Graph
 * @property {AudioContext} context
 * @property {() => Promise<void>} finish Resolves when the last frame was handed over.
 */

/**
 * @param {MediaStream} media
 * @param {CaptureOptions["onFrame"]} onFrame
 * @param {() => void} onFailure
 * @returns {Promise<Graph>}
 */
async function openGraph(media, onFrame, onFailure) {
  const { context, source } = await connectSource(media);
  try {
    await context.audioWorklet.addModule(new URL("./sdk/capture-worklet.js", import.meta.url));
  } catch (error) {
    await context.close();
    throw new CaptureError("unreachable", String(error)); // it comes from the server
  }
  const node = new AudioWorkletNode(context, "antiphon-capture", {
    processorOptions: { sampleRate: SAMPLE_RATE, frameSamples: FRAME_SAMPLES },
  });
  /** @type {() => void} */
  let finished = () => undefined;
  node.port.onmessage = ({ data }) => {
    if (data === null) finished();
    else onFrame(data.samples, data.level);
  };
  node.onprocessorerror = onFailure;
  source.connect(node);
  node.connect(context.destination); // silent: the processor writes nothing; unconnected nodes may not be run
  context.onstatechange = () => {
    if (context.state !== "running" && context.state !== "closed") void context.resume();
  };
  await context.resume();
  return {
    context,
    finish: () =>
      new Promise((resolve) => {
        finished = resolve;
        setTimeout(resolve, FINISH_DEADLINE_MS);
        node.port.postMessage("finish");
      }),
  };
}

/**
 * At the recogniser's rate where the browser converts by itself; else at the device's rate, and the worklet converts.
 *
 * @param {MediaStream} media
 */
async function connectSource(media) {
  const converting = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  try {
    return { context: converting, source: converting.createMediaStreamSource(media) };
  } catch {
    // Firefox refuses a source whose rate is not the context's.
    await converting.close();
    const context = new AudioContext({ latencyHint: "interactive" });
    return { context, source: context.createMediaStreamSource(media) };
  }
}
