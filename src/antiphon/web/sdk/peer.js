/**
 * The connection to one other side, the media server or a participant, kept alive: an ICE restart when it is interrupted,
 * and a fresh offer on a new RTCPeerConnection when it has failed.
 *
 * Offers that cross are settled by "perfect negotiation" (WebRTC 1.0, section 10.7).
 */

import { CandidateQueue } from "./candidates.js";
import { RtcError } from "./errors.js";
import { Backoff, Deadlines, systemTimers } from "./timing.js";
import { parseObject } from "./wire.js";

/** Interruptions of that length often mend themselves. */
const INTERRUPTED_MS = 2_000;
/** What an ICE restart gets before the connection is made anew. */
const RESTART_MS = 10_000;
/** From an offer to a connection. */
const CONNECT_MS = 15_000;
/** Whoever is to be called calls by itself if nobody has by then. */
const CALLED_MS = 8_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_CAP_MS = 20_000;
const GIVE_UP_MS = 300_000;

/** @typedef {import("./signaling.js").Signal} Signal */
/** @typedef {"new" | "connecting" | "connected" | "interrupted" | "waiting" | "failed" | "closed"} PeerState */

/**
 * What a peer tells. `interrupted`: no packets come, an ICE restart follows; `reconnecting`: `by` what means, and after
 * how many milliseconds.
 *
 * @typedef {{type: "connected"}
 *   | {type: "interrupted"}
 *   | {type: "reconnecting", by: "ice-restart" | "new-offer", attempt: number, delay: number}
 *   | {type: "failed", error: RtcError}
 *   | {type: "track", track: MediaStreamTrack, stream: MediaStream | null, mid: string, receiver: RTCRtpReceiver}
 *   | {type: "channel"}
 *   | {type: "message", data: Record<string, unknown>}
 *   | {type: "error", error: RtcError}} PeerEvent
 */

/**
 * @typedef {object} PeerOptions
 * @property {string} id Of the other side.
 * @property {boolean} polite Whether this side gives way when two offers cross.
 * @property {boolean} calls Whether this side makes the first offer.
 * @property {number} listens Further people to hear at once, each on an m-line of its own; for the media server.
 * @property {MediaStreamTrack | null} track What is sent.
 * @property {MediaStream | null} stream Its stream.
 * @property {() => RTCConfiguration} configuration As it is now.
 * @property {(signal: Signal) => void} send To the other side.
 * @property {() => boolean} canSend Whether signaling reaches it.
 * @property {(event: PeerEvent) => void} tell
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} [create]
 * @property {import("./timing.js").Timers} [timers]
 * @property {() => number} [random] 0 to 1.
 */

export class Peer {
  #options;
  #timers;
  #deadlines;
  #backoff;
  #attempt = 0;

  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** @type {MediaStreamTrack | null} */
  #track;
  /** @type {PeerState} */
  #state = "new";
  #candidates = new CandidateQueue();
  /** What comes in is handled one after the other. @type {Promise<void>} */
  #incoming = Promise.resolve();

  #hasMedia = false;
  #makingOffer = false;
  #ignoreOffer = false;
  #settingAnswer = false;

  /** @param {PeerOptions} options */
  constructor(options) {
    const { track, timers = systemTimers, random = Math.random } = options;
    this.#options = options;
    this.#track = track;
    this.#timers = timers;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: GIVE_UP_MS, random });
  }

  get id() {
    return this.#options.id;
  }

  get state() {
    return this.#state;
  }

  /** @returns {RTCRtpTransceiver[]} */
  get transceivers() {
    return this.#connection?.getTransceivers() ?? [];
  }

  /** Offers, where this side is the one that calls; else waits for a while to be called. */
  start() {
    if (this.#options.calls) this.call();
    else {
      this.#open();
      this.#deadlines.set("called", CALLED_MS, () => this.#addMedia());
    }
  }

  /** Make an offer, on a connection that is new unless one waits to be used. */
  call() {
    this.#deadlines.cancel("called", "renew");
    if (this.#connection === null || this.#hasMedia) this.#open();
    this.#addMedia(); // from which the offer follows
  }

  /** The network may be back: do not wait for what is planned. */
  hurry() {
    if (this.#state === "interrupted") this.#restart();
    else if (this.#state === "waiting") this.call();
  }

  /** @param {Signal} signal */
  take(signal) {
    const task = this.#incoming.then(() => this.#take(signal));
    this.#incoming = task.catch((error) => {
      if (this.#state === "closed") return;
      this.#options.tell({ type: "error", error: RtcError.because("bad_description", error) });
      this.#renew();
    });
    return this.#incoming;
  }

  /** The other side has let go of the connection, which may not show here yet. */
  lost() {
    if (this.#state === "connecting" || this.#state === "connected" || this.#state === "interrupted") this.#renew();
  }

  /** The other side has refused what was sent to it. @param {RtcError} error */
  refused(error) {
    if (this.#state === "connected" || this.#state === "closed") return;
    this.#options.tell({ type: "error", error });
    if (error.retryable) this.#renew(1000 * (error.retryAfter ?? 0));
    else this.#fail(error);
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {boolean} Whether the channel was open.
   */
  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** @param {MediaStreamTrack | null} track */
  async replaceTrack(track) {
    this.#track = track;
    const [transceiver] = this.transceivers;
    await transceiver?.sender.replaceTrack(track);
    if (track !== null && transceiver?.direction === "recvonly") transceiver.direction = "sendrecv"; // an offer follows
  }

  /** @param {number} bitrate Bits a second. */
  async setBitrate(bitrate) {
    const sender = this.transceivers[0]?.sender;
    const parameters = sender?.getParameters();
    const [encoding] = parameters?.encodings ?? [];
    if (sender === undefined || parameters === undefined || encoding === undefined) return;
    encoding.maxBitrate = bitrate;
    await sender.setParameters(parameters);
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async getStats() {
    return (await this.#connection?.getStats()) ?? null;
  }

  close() {
    this.#state = "closed";
    this.#deadlines.cancelAll();
    this.#dispose();
  }

  // The connection

  #open() {
    this.#dispose();
    const { configuration, create = (/** @type {RTCConfiguration} */ how) => new RTCPeerConnection(how) } = this.#options;
    const connection = create(configuration());
    this.#connection = connection;
    this.#candidates = new CandidateQueue();
    this.#hasMedia = this.#makingOffer = this.#ignoreOffer = this.#settingAnswer = false;
    connection.onnegotiationneeded = () => void this.#offer(connection);
    connection.onicecandidate = ({ candidate }) => {
      const end = candidate === null || candidate.candidate === "";
      this.#options.send({ type: "candidate", candidate: end ? null : candidate.toJSON() });
    };
    connection.ontrack = ({ track, streams, transceiver, receiver }) =>
      this.#options.tell({ type: "track", track, stream: streams[0] ?? null, mid: transceiver.mid ?? "", receiver });
    connection.ondatachannel = ({ channel }) => {
      if (channel.label === "metadata") this.#listen(channel);
    };
    connection.onconnectionstatechange = () => this.#onState(connection);
    this.#become("connecting");
  }

  /** What is sent and heard. */
  #addMedia() {
    const connection = this.#connection;
    if (connection === null || this.#hasMedia) return;
    this.#hasMedia = true;
    const { listens, stream } = this.#options;
    const channel = connection.createDataChannel("metadata", { ordered: true, maxRetransmits: 3 });
    this.#channel = channel;
    channel.onopen = () => this.#options.tell({ type: "channel" });
    this.#listen(channel);
    // addTrack, since its transceiver is the one that a crossing offer's m-line takes over (RFC 8829, section 5.10)
    if (this.#track !== null) connection.addTrack(this.#track, ...(stream === null ? [] : [stream]));
    else if (connection.remoteDescription === null) connection.addTransceiver("audio", { direction: "recvonly" });
    for (let i = 0; i < listens; i++) connection.addTransceiver("audio", { direction: "recvonly" });
    this.#deadlines.set("connect", CONNECT_MS, () => this.#renew());
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    channel.onmessage = ({ data }) => this.#options.tell({ type: "message", data: parseObject(data) });
  }

  #dispose() {
    const [connection, channel] = [this.#connection, this.#channel];
    this.#connection = this.#channel = null;
    if (channel !== null) channel.onopen = channel.onmessage = null;
    if (connection === null) return;
    connection.onnegotiationneeded = connection.onicecandidate = connection.ontrack = null;
    connection.ondatachannel = connection.onconnectionstatechange = null;
    connection.close();
  }

  // Negotiation

  /** @param {RTCPeerConnection} connection */
  async #offer(connection) {
    if (connection !== this.#connection) return;
    try {
      this.#makingOffer = true;
      await connection.setLocalDescription();
      const description = connection.localDescription;
      if (connection === this.#connection && description?.type === "offer") {
        this.#options.send({ type: "offer", sdp: description.sdp });
      }
    } catch (error) {
      if (connection !== this.#connection) return;
      this.#options.tell({ type: "error", error: RtcError.because("bad_description", error) });
      this.#renew();
    } finally {
      if (connection === this.#connection) this.#makingOffer = false;
    }
  }

  /** @param {Signal} signal */
  async #take(signal) {
    if (this.#state === "closed") return;
    if (signal.type === "candidate") return this.#takeCandidate(signal.candidate);
    if (signal.type === "offer" && this.#isAnotherSession(signal.sdp)) this.#open();
    const connection = this.#connection ?? this.#openedAnew();
    const ready =
      !this.#makingOffer && (connection.signalingState === "stable" || this.#settingAnswer);
    this.#ignoreOffer = signal.type === "offer" && !ready && !this.#options.polite;
    if (this.#ignoreOffer) return;
    if (signal.type === "answer" && connection.signalingState !== "have-local-offer") return; // to an offer taken back
    if (signal.type === "offer") this.#deadlines.cancel("called", "renew");
    this.#settingAnswer = signal.type === "answer";
    try {
      await connection.setRemoteDescription(signal);
    } finally {
      this.#settingAnswer = false;
    }
    if (connection !== this.#connection) return;
    for (const candidate of this.#candidates.take()) await this.#addCandidate(connection, candidate);
    if (signal.type === "answer") return;
    this.#addMedia();
    if (this.#state !== "connected") this.#deadlines.set("connect", CONNECT_MS, () => this.#renew());
    await connection.setLocalDescription();
    const description = connection.localDescription;
    if (connection === this.#connection && description !== null) {
      this.#options.send({ type: "answer", sdp: description.sdp });
    }
  }

  #openedAnew() {
    this.#open();
    return /** @type {RTCPeerConnection} */ (this.#connection);
  }

  /**
   * Whether the other side has made a new connection since (RFC 8829, section 5.2.1: one session id for each).
   *
   * @param {string} sdp
   */
  #isAnotherSession(sdp) {
    const known = this.#connection?.remoteDescription;
    return known !== null && known !== undefined && sessionId(known.sdp) !== sessionId(sdp);
  }

  /** @param {RTCIceCandidateInit | null} candidate Null: there are no more. */
  async #takeCandidate(candidate) {
    const connection = this.#connection;
    if (connection === null || candidate === null) return;
    if (connection.remoteDescription === null) this.#candidates.keep(candidate);
    else await this.#addCandidate(connection, candidate);
  }

  /**
   * @param {RTCPeerConnection} connection
   * @param {RTCIceCandidateInit} candidate
   */
  async #addCandidate(connection, candidate) {
    try {
      await connection.addIceCandidate(candidate);
    } catch {
      // Of an offer that was ignored or of a session that is over; a connection needs one that fits, not all.
    }
  }

  // Keeping it alive

  /** @param {RTCPeerConnection} connection */
  #onState(connection) {
    if (connection !== this.#connection) return;
    if (connection.connectionState === "connected") {
      this.#deadlines.cancel("connect", "interrupted", "restart", "renew");
      this.#backoff.succeeded();
      this.#attempt = 0;
      this.#become("connected");
      this.#options.tell({ type: "connected" });
    } else if (connection.connectionState === "disconnected") {
      if (this.#state !== "connected") return;
      this.#become("interrupted");
      this.#options.tell({ type: "interrupted" });
      // the polite side leaves it to the other for a while, lest their offers cross
      const wait = this.#options.polite ? 2 * INTERRUPTED_MS : INTERRUPTED_MS;
      this.#deadlines.set("interrupted", wait, () => this.#restart());
    } else if (connection.connectionState === "failed") {
      this.#renew();
    }
  }

  #restart() {
    const connection = this.#connection;
    if (connection === null || this.#state !== "interrupted") return;
    this.#deadlines.cancel("interrupted");
    this.#deadlines.set("restart", RESTART_MS, () => this.#renew());
    if (!this.#options.canSend()) return; // then it is signaling that comes first, and makes everything anew
    this.#options.tell({ type: "reconnecting", by: "ice-restart", attempt: ++this.#attempt, delay: 0 });
    connection.setConfiguration(this.#options.configuration());
    connection.restartIce();
  }

  /** @param {number} [least] Milliseconds to wait in any case. */
  #renew(least = 0) {
    if (this.#state === "closed" || this.#state === "failed" || this.#deadlines.has("renew")) return;
    this.#deadlines.cancelAll();
    if (this.#state === "connected") this.#options.tell({ type: "interrupted" });
    this.#become("waiting");
    const delay = this.#backoff.failed(this.#timers.now(), least);
    if (delay === null) return this.#fail(new RtcError("connection_failed"));
    // two sides that both notice should not both call at the same moment
    const wait = delay + (this.#options.calls ? 0 : BACKOFF_FIRST_MS);
    this.#options.tell({ type: "reconnecting", by: "new-offer", attempt: ++this.#attempt, delay: wait });
    const call = () => {
      if (this.#options.canSend()) this.call();
      else this.#deadlines.set("renew", BACKOFF_CAP_MS, call); // it is signaling that comes first
    };
    this.#deadlines.set("renew", wait, call);
  }

  /** @param {RtcError} error */
  #fail(error) {
    this.#deadlines.cancelAll();
    this.#dispose();
    this.#become("failed");
    this.#options.tell({ type: "failed", error });
  }

  /** @param {PeerState} state */
  #become(state) {
    if (this.#state !== "closed") this.#state = state;
  }
}

/** @param {string} sdp */
const sessionId = (sdp) => /^o=\S+ (\S+)/m.exec(sdp)?.[1] ?? "";
