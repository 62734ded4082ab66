/**
 * What this side says: a microphone that is opened and let go of here, or a stream of the caller's.
 */

import { RtcError } from "./errors.js";
import { openMicrophone, releaseMicrophone } from "./microphone.js";

export class OwnSound {
  #constraints;
  #tell;
  #closed = false;
  /** Whether the stream was opened here, and is let go of here. */
  #owned = false;

  /** @type {MediaStream | null} */
  stream = null;
  muted = false;

  /**
   * @param {MediaTrackConstraints} constraints
   * @param {(event: {type: "ended"} | {type: "held", active: boolean}) => void} tell
   */
  constructor(constraints, tell) {
    this.#constraints = constraints;
    this.#tell = tell;
  }

  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** @param {MediaStream | null} stream The caller's; null for none. */
  use(stream) {
    this.#letGo();
    this.stream = stream;
    this.#owned = false;
  }

  /**
   * Open a microphone; the one before stays in use where that fails.
   *
   * @param {string} deviceId "" for the system's choice.
   * @throws {RtcError}
   */
  async open(deviceId) {
    const stream = await openMicrophone(deviceId, this.#constraints);
    if (this.#closed) {
      releaseMicrophone(stream);
      throw new RtcError("closed");
    }
    this.#letGo();
    this.stream = stream;
    this.#owned = true;
    for (const track of stream.getAudioTracks()) {
      track.enabled = !this.muted;
      track.onended = () => this.#tell({ type: "ended" });
      track.onmute = () => this.#tell({ type: "held", active: true });
      track.onunmute = () => this.#tell({ type: "held", active: false });
    }
  }

  /** @param {boolean} muted @returns {boolean} Whether that is news. */
  mute(muted) {
    if (this.muted === muted) return false;
    this.muted = muted;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
    return true;
  }

  close() {
    this.#closed = true;
    this.#letGo();
    this.stream = null;
  }

  #letGo() {
    if (!this.#owned) return;
    for (const track of this.stream?.getTracks() ?? []) track.onended = track.onmute = track.onunmute = null;
    releaseMicrophone(this.stream);
    this.#owned = false;
  }
}
