/** What the tests of rooms stand on: doubles of a browser's connection, and of a room's signaling. */

import { VirtualTime } from "./stream-kit.js";

/** @typedef {import("../../src/antiphon/web/sdk/signaling.js").Signal} Signal */

let sessions = 0;

/**
 * The states of an RTCPeerConnection as perfect negotiation uses them, and nothing of its media. A double: it connects
 * when it is told to.
 */
export class FakeConnection {
  /** @type {RTCSignalingState} */
  signalingState = "stable";
  /** @type {RTCPeerConnectionState} */
  connectionState = "new";
  /** @type {{type: string, sdp: string} | null} */
  localDescription = null;
  /** @type {{type: string, sdp: string} | null} */
  remoteDescription = null;
  /** @type {any[]} */
  added = [];
  /** @type {any[]} */
  transceivers = [];
  /** @type {{label: string, options: any, readyState: string, sent: string[], send: (text: string) => void}[]} */
  channels = [];
  closed = false;
  restarts = 0;
  refuses = false;
  #session = ++sessions;
  #version = 0;
  #needed = false;

  /** @type {(() => void) | null} */ onnegotiationneeded = null;
  /** @type {((event: any) => void) | null} */ onicecandidate = null;
  /** @type {((event: any) => void) | null} */ ontrack = null;
  /** @type {((event: any) => void) | null} */ ondatachannel = null;
  /** @type {(() => void) | null} */ onconnectionstatechange = null;

  /** @param {RTCConfiguration} configuration */
  constructor(configuration) {
    this.configuration = configuration;
  }

  /** @param {string} label @param {any} options */
  createDataChannel(label, options) {
    const channel = {
      label,
      options,
      readyState: "open",
      sent: /** @type {string[]} */ ([]),
      send: (/** @type {string} */ text) => void channel.sent.push(text),
    };
    this.channels.push(channel);
    this.#negotiate();
    return channel;
  }

  /** @param {any} track @param {any[]} streams */
  addTrack(track, ...streams) {
    const sender = { track, streams, replaceTrack: async (/** @type {any} */ other) => void (sender.track = other) };
    this.transceivers.push({ direction: "sendrecv", sender, mid: null });
    this.#negotiate();
  }

  /** @param {string} kind @param {any} options */
  addTransceiver(kind, options) {
    this.transceivers.push({ kind, ...options, mid: null });
    this.#negotiate();
  }

  getTransceivers() {
    return this.transceivers;
  }

  restartIce() {
    this.restarts++;
    this.#negotiate();
  }

  /** @param {RTCConfiguration} configuration */
  setConfiguration(configuration) {
    this.configuration = configuration;
  }

  async setLocalDescription() {
    await null;
    if (this.closed) throw new Error("closed");
    const answering = this.signalingState === "have-remote-offer";
    const sdp = `v=0\r\no=- ${this.#session} ${++this.#version} IN IP4 127.0.0.1\r\n`;
    this.localDescription = { type: answering ? "answer" : "offer", sdp };
    this.signalingState = answering ? "stable" : "have-local-offer";
    this.#needed = false;
  }

  /** @param {{type: string, sdp: string}} description */
  async setRemoteDescription(description) {
    await null;
    if (this.closed) throw new Error("closed");
    if (this.refuses) throw new Error("this cannot be used");
    if (description.type === "answer" && this.signalingState !== "have-local-offer") throw new Error("no offer");
    this.remoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }

  /** @param {RTCIceCandidateInit} candidate */
  async addIceCandidate(candidate) {
    await null;
    if (this.remoteDescription === null) throw new Error("no remote description");
    this.added.push(candidate.candidate);
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.closed = true;
    this.signalingState = "closed";
    this.connectionState = "closed";
  }

  /** @param {RTCPeerConnectionState} state */
  become(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  #negotiate() {
    if (this.#needed) return;
    this.#needed = true;
    queueMicrotask(() => this.#needed && this.signalingState === "stable" && this.onnegotiationneeded?.());
  }
}

/** Everything that can be done now is done. */
export async function settle() {
  for (let i = 0; i < 50; i++) await null;
}

/** A room's signaling, of which the test is the server. A double. */
export class FakeSignaling {
  up = false;
  /** @type {{to: string, signal: Signal}[]} */
  sent = [];
  /** @type {boolean[]} */
  mutes = [];
  /** @type {any[]} */
  memberships = [];
  left = 0;
  closed = 0;
  retried = 0;
  /** @type {any} */
  refusal = null;
  participants = [participant("me"), participant("a")];
  /** @type {(event: any) => void} */
  tell = () => undefined;

  /** @param {(event: any) => void} tell */
  listen(tell) {
    this.tell = tell;
  }

  /** @param {any} membership */
  async join(membership) {
    this.memberships.push(membership);
    if (this.refusal !== null) throw this.refusal;
    this.up = true;
    return this.joined("me");
  }

  /** @param {string} id */
  joined(id) {
    const state = { room: "choir", mode: "relay", captions: null, participants: [...this.participants] };
    return { id, state, iceServers: [] };
  }

  leave() {
    this.up = false;
    this.left++;
  }

  /** @param {string} to @param {Signal} signal */
  signal(to, signal) {
    this.sent.push({ to, signal });
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.mutes.push(muted);
  }

  retryNow() {
    this.retried++;
  }

  close() {
    this.leave();
    this.closed++;
  }

  /** What was sent since the last look, `to type`. */
  take() {
    return this.sent.splice(0).map(({ to, signal }) => `${to} ${signal.type}`);
  }
}

/** @param {string} id @param {object} [more] */
export const participant = (id, more = {}) => ({
  id,
  user: id.toUpperCase(),
  role: "participant",
  transport: "webrtc",
  muted: false,
  polite: /** @type {boolean | null} */ (null),
  ...more,
});

export { VirtualTime };
