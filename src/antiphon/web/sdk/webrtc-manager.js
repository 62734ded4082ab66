/**
 * Talk in a room of an Antiphon server: with its media server as the only peer, which relays or mixes what the others say,
 * or with each of the others directly.
 *
 *     const manager = new WebRTCManager({ server: "https://voice.example" });
 *     manager.on("track", ({ track }) => play(track));
 *     manager.on("transcript", ({ user, text }) => show(user, text));
 *     await manager.initialize();
 *     await manager.join({ room: "choir", user: "Hildegard", captions: "en-US" });
 */

import { readCandidate } from "./candidates.js";
import { Connections, SERVER } from "./connections.js";
import { RtcError } from "./errors.js";
import { Emitter } from "./events.js";
import { IceSource } from "./ice-servers.js";
import { CALL_CONSTRAINTS } from "./microphone.js";
import { OwnSound } from "./own-sound.js";
import { Roster } from "./roster.js";
import { SocketSignaling } from "./signaling.js";
import { Deadlines, systemTimers } from "./timing.js";

export { SERVER };

const LEVELS_EVERY_MS = 100;

/** @typedef {import("./peer.js").PeerState} PeerState */
/** @typedef {import("./manager-events.js").ManagerEvents} ManagerEvents */
/** @typedef {import("./manager-events.js").ManagerState} ManagerState */
/** @typedef {import("./roster.js").RoomMember} RoomMember */
/** @typedef {import("./signaling.js").Joined} Joined */
/** @typedef {import("./signaling.js").SignalingEvent} SignalingEvent */

/**
 * @typedef {object} ManagerOptions
 * @property {string | URL} [server] Its address; that of the page by default.
 * @property {string} [key] Access key; "" for none.
 * @property {import("./signaling.js").SignalingLink} [signaling] Another way to find the others.
 * @property {"server" | "peers"} [topology] Whom to connect to.
 * @property {number} [slots] How many people to hear at once beside the first, where the server relays.
 * @property {RTCIceServer[]} [iceServers] Those that the server names, by default.
 * @property {RTCIceTransportPolicy} [iceTransportPolicy] `relay`: by way of TURN only.
 * @property {MediaTrackConstraints} [constraints] Of the microphone.
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} [create] Makes the connections.
 * @property {import("./timing.js").Timers} [timers]
 * @property {() => number} [random] 0 to 1.
 */

/** @extends {Emitter<ManagerEvents>} */
export class WebRTCManager extends Emitter {
  #options;
  #signaling;
  #topology;
  #deadlines;
  #roster = new Roster();

  /** @type {ManagerState} */
  #state = "new";
  #initializing = false;
  /** @type {Joined | null} */
  #joined = null;
  #connections = new Connections();
  /** Bits a second: what was set, and what the server asks for at most. */
  #bitrate = Infinity;
  #ceiling = Infinity;
  #sound;
  #ice;

  /** @param {ManagerOptions} [options] */
  constructor(options = {}) {
    super();
    const { server = globalThis.location?.href, key = "", signaling, topology = "server", iceServers } = options;
    const { timers = systemTimers } = options;
    if (signaling === undefined && server === undefined) throw new TypeError("server must be given outside a page");
    this.#options = { slots: 3, constraints: CALL_CONSTRAINTS, random: Math.random, ...options, server, key, timers };
    this.#topology = topology;
    this.#deadlines = new Deadlines(timers);
    this.#ice = new IceSource({ given: iceServers, server, key, timers });
    this.#sound = new OwnSound(this.#options.constraints, (event) =>
      event.type === "ended" ? this.emit("ended", {}) : this.emit("held", { active: event.active }),
    );
    this.#signaling = signaling ?? SocketSignaling.to(/** @type {string} */ (server), key);
    this.#signaling.listen((event) => this.#onSignaling(event));
    globalThis.window?.addEventListener("online", () => this.retryNow(), { signal: this.lifetime });
  }

  get state() {
    return this.#state;
  }

  /** This participant's id; null outside a room. It changes when the connection to the server was lost. */
  get id() {
    return this.#joined?.id ?? null;
  }

  /** Everybody in the room, this side among them. @returns {RoomMember[]} */
  get participants() {
    return [...this.#roster.members.values()];
  }

  /** By `mid`, the participant that m-line carries now. */
  get slots() {
    return new Map(this.#roster.slots);
  }

  get muted() {
    return this.#sound.muted;
  }

  /** The microphone's sound; null without one. */
  get localStream() {
    return this.#sound.stream;
  }

  /** How every connection is configured now. @returns {RTCConfiguration} */
  get configuration() {
    return {
      iceServers: this.#ice.servers,
      iceTransportPolicy: this.#options.iceTransportPolicy ?? "all",
      iceCandidatePoolSize: 10,
      bundlePolicy: "max-bundle",
      rtcpMuxPolicy: "require",
    };
  }

  /** @param {string} [id] Of a participant, or `server`. @returns {PeerState | null} Null without a connection. */
  peerState(id = SERVER) {
    return this.#connections.get(id)?.state ?? null;
  }

  /**
   * Open the microphone.
   *
   * @param {object} [options]
   * @param {string} [options.deviceId] "" for the system's choice.
   * @param {MediaStream | null} [options.stream] Sound to send instead, which stays the caller's; null to listen only.
   * @throws {RtcError} There is no WebRTC, or no microphone; its `action` says what to do.
   */
  async initialize({ deviceId = "", stream } = {}) {
    this.#demand(this.#state === "new" && !this.#initializing, "already_initialized");
    if (this.#options.create === undefined && typeof RTCPeerConnection === "undefined") throw new RtcError("no_webrtc");
    this.#initializing = true;
    try {
      if (stream !== undefined) this.#sound.use(stream);
      else await this.#sound.open(deviceId);
    } finally {
      this.#initializing = false;
    }
    this.#become("ready");
  }

  /**
   * Enter a room, and begin to connect.
   *
   * @param {object} membership
   * @param {string} membership.room
   * @param {string} membership.user A name that the others see.
   * @param {string} [membership.role]
   * @param {"relay" | "mix"} [membership.mode] Of the room, where it is not there yet.
   * @param {string} [membership.captions] Their language; absent for none.
   * @returns {Promise<{id: string, room: string, mode: string, participants: RoomMember[]}>}
   * @throws {RtcError} The server cannot be reached, or refuses.
   */
  async join({ room, user, role = "participant", mode, captions }) {
    this.#demand(this.#state !== "new", "not_initialized");
    this.#demand(this.#state === "ready", "already_joined");
    this.#become("joining");
    /** @type {Joined} */
    let joined;
    try {
      joined = await this.#signaling.join({
        room,
        user,
        role,
        ...(mode === undefined ? {} : { mode }),
        ...(captions === undefined ? {} : { captions }),
      });
    } catch (error) {
      if (this.#state === "joining") this.#become("ready");
      throw error;
    }
    this.#demand(this.#state === "joining", "closed");
    if (this.muted) this.#signaling.mute(true);
    await this.#refreshIceServers(joined.iceServers);
    this.#demand(this.#state === "joining", "closed");
    this.#enter(joined);
    return { id: joined.id, room: joined.state.room, mode: joined.state.mode, participants: this.participants };
  }

  /**
   * Make an offer to a peer: a fresh one on a new connection if it has one already. `join` does that by itself.
   *
   * @param {string} [to]
   */
  createOffer(to = SERVER) {
    this.#demandRoom();
    const peer = this.#connections.get(to) ?? this.#addPeer(to, true);
    peer.call();
  }

  /**
   * What another way of signaling brought.
   *
   * @param {RTCSessionDescriptionInit | string} offer
   * @param {string} from
   */
  handleOffer(offer, from) {
    this.#demandRoom();
    const peer = this.#connections.get(from) ?? this.#addPeer(from, false);
    return peer.take({ type: "offer", sdp: typeof offer === "string" ? offer : (offer.sdp ?? "") });
  }

  /**
   * @param {RTCSessionDescriptionInit | string} answer
   * @param {string} [from]
   */
  handleAnswer(answer, from = SERVER) {
    return this.#peer(from).take({ type: "answer", sdp: typeof answer === "string" ? answer : (answer.sdp ?? "") });
  }

  /**
   * @param {RTCIceCandidateInit | string | null} candidate Null: there are no more.
   * @param {string} [from]
   */
  handleIceCandidate(candidate, from = SERVER) {
    return this.#peer(from).take({ type: "candidate", candidate: readCandidate(candidate) });
  }

  /** Let nobody hear this side. */
  mute() {
    this.#setMuted(true);
  }

  unmute() {
    this.#setMuted(false);
  }

  /**
   * Send another microphone's sound from now on; after `ended`, too.
   *
   * @param {string} [deviceId] "" for the system's choice.
   * @throws {RtcError} It cannot be opened; the one before is still in use then.
   */
  async changeMicrophone(deviceId = "") {
    this.#demand(this.#state !== "new", "not_initialized");
    await this.#sound.open(deviceId);
    await Promise.all(this.#connections.each((peer) => peer.replaceTrack(this.#sound.track)));
  }

  /**
   * Say something over the metadata channel.
   *
   * @param {Record<string, unknown>} message With a `type`.
   * @param {string} [to] Everybody there is a connection to, by default.
   * @returns {boolean} Whether it went to anybody.
   */
  send(message, to) {
    if (to !== undefined) return this.#peer(to).send(message);
    return this.#connections.each((peer) => peer.send(message)).includes(true);
  }

  /**
   * Send with so many bits a second, or with fewer where the server asks for that; and ask for as many of what comes.
   *
   * @param {number} bitrate
   */
  async setBitrate(bitrate) {
    this.#bitrate = bitrate;
    this.#askFor(bitrate);
    await this.#tune();
  }

  /** What each connection is like since the last call, by peer. */
  getStats() {
    return this.#connections.stats();
  }

  /** How loud the others are now, 0 to 1, as far as it is heard apart. */
  levels() {
    return this.#connections.levels(this.#roster.slots);
  }

  /** Do not wait for what is planned: the network may be back. */
  retryNow() {
    this.#signaling.retryNow();
    this.#connections.each((peer) => peer.hurry());
  }

  /** Out of the room; the microphone stays open for the next `join`. */
  leave() {
    if (this.#state === "closed" || this.#state === "new" || this.#state === "ready") return;
    this.#signaling.leave();
    this.#clear();
    this.#become("ready");
  }

  /** Let go of everything. A second call does nothing. */
  close() {
    if (this.#state === "closed") return;
    this.#signaling.close();
    this.#clear();
    this.#sound.close();
    this.#become("closed");
    this.fallSilent();
  }

  /** @param {number} bitrate Of what comes, bits a second. */
  #askFor(bitrate) {
    this.#connections.get(SERVER)?.send({ type: "bitrate-change", bitrate: Math.round(bitrate) });
  }

  /** Have what is sent keep to what was set and to what the server asks for. */
  async #tune() {
    const bitrate = Math.min(this.#bitrate, this.#ceiling);
    if (Number.isFinite(bitrate)) await Promise.all(this.#connections.each((peer) => peer.setBitrate(bitrate)));
  }

  /** @param {unknown} bitrate What somebody who listens can take. */
  #limit(bitrate) {
    if (typeof bitrate !== "number" || !(bitrate > 0)) return;
    this.#ceiling = bitrate;
    void this.#tune().catch(() => undefined); // a connection that is closed meanwhile sends nothing
    this.emit("bitrate-change", { bitrate });
  }

  /** @param {boolean} muted */
  #setMuted(muted) {
    this.#demand(this.#state !== "new", "not_initialized");
    if (!this.#sound.mute(muted)) return;
    this.#signaling.mute(muted);
    if (this.#joined !== null) this.#roster.mute(this.#joined.id, muted);
    this.emit("muted", { muted });
  }

  // The room

  /** @param {Joined} joined */
  #enter(joined) {
    this.#connections.dropAll();
    this.#joined = joined;
    const { joined: came, left } = this.#roster.reset(joined.state.participants, joined.id);
    this.#roster.mute(joined.id, this.muted);
    for (const member of left) this.emit("peer-left", member);
    for (const member of came) if (!member.self) this.emit("peer-joined", member);
    const { room, mode, captions } = joined.state;
    this.emit("room", { room, mode, captions, participants: this.participants });
    if (this.#topology === "server") {
      this.#become("connecting");
      this.#addPeer(SERVER, true).start();
      return;
    }
    this.#become("connected");
    for (const { id, transport } of joined.state.participants) {
      if (id !== joined.id && transport === "webrtc") this.#addPeer(id, true).start();
    }
    this.#watchLevels();
  }

  #clear() {
    this.#deadlines.cancelAll();
    this.#connections.dropAll();
    this.#ceiling = Infinity;
    this.#joined = null;
    this.#roster.reset([], "");
  }

  /** @param {RTCIceServer[] | null} told */
  async #refreshIceServers(told) {
    try {
      await this.#ice.refresh(told);
    } catch (error) {
      this.emit("error", { peer: null, error: RtcError.because("unreachable", error) });
    }
  }

  /** In a room without a server that listens, who speaks is told by levels. */
  #watchLevels() {
    this.#deadlines.set("levels", LEVELS_EVERY_MS, () => {
      const speaking = this.#connections.speaking(this.#options.timers.now());
      for (const [id, active] of speaking) this.#speaking(id, active);
      this.#watchLevels();
    });
  }

  /**
   * @param {string} id
   * @param {boolean} active
   */
  #speaking(id, active) {
    if (this.#roster.speak(id, active)) this.emit("speaking", { participantId: id, active });
  }

  // Peers

  /**
   * @param {string} id
   * @param {boolean} calls
   */
  #addPeer(id, calls) {
    const { slots, create, timers, random } = this.#options;
    const said = this.#joined?.state.participants.find((participant) => participant.id === id)?.polite;
    return this.#connections.add({
      id,
      polite: said ?? (this.#joined?.id ?? "") > id,
      calls,
      listens: id === SERVER ? slots : 0,
      track: this.#sound.track,
      stream: this.#sound.stream,
      configuration: () => this.configuration,
      send: (signal) => this.#signaling.signal(id, signal),
      canSend: () => this.#signaling.up,
      tell: (event) => this.#onPeer(id, event),
      ...(create === undefined ? {} : { create }),
      timers,
      random,
    });
  }

  /**
   * @param {string} id
   * @param {import("./peer.js").PeerEvent} event
   */
  #onPeer(id, event) {
    switch (event.type) {
      case "connected":
        if (id === SERVER) this.#become("connected");
        void this.#tune().catch(() => undefined); // it is a new connection, maybe
        return this.emit("connected", { peer: id });
      case "interrupted":
        if (id === SERVER) this.#become("reconnecting");
        return this.emit("disconnected", { peer: id });
      case "reconnecting": {
        void this.#refreshIceServers(null);
        if (id === SERVER) this.#become("reconnecting");
        const { by, attempt, delay } = event;
        return this.emit("reconnecting", { peer: id, by, attempt, delay });
      }
      case "failed":
        if (id === SERVER) this.#become("failed");
        return this.emit("failed", { peer: id, error: event.error });
      case "track": {
        const { track, stream, mid } = event;
        const participantId = id === SERVER ? (this.#roster.slots.get(mid) ?? null) : id;
        return this.emit("track", { peer: id, mid, track, stream: stream ?? new MediaStream([track]), participantId });
      }
      case "channel":
        if (id === SERVER && Number.isFinite(this.#bitrate)) this.#askFor(this.#bitrate);
        return;
      case "message":
        return this.#onMessage(id, event.data);
      case "error":
        return this.emit("error", { peer: id, error: event.error });
    }
  }

  /**
   * @param {string} id
   * @param {Record<string, unknown>} data
   */
  #onMessage(id, data) {
    if (id !== SERVER) return this.emit("message", { peer: id, data });
    switch (data["type"]) {
      case "transcript":
        return this.#hear(data);
      case "speaking":
        return this.#speaking(String(data["participantId"]), data["active"] === true);
      case "slots":
        this.#roster.assign(data["slots"]);
        return this.emit("slots", { slots: this.slots });
      case "bitrate-change":
        return this.#limit(data["bitrate"]);
      case "error":
        return this.emit("error", { peer: id, error: RtcError.fromWire(data) });
      default:
        return this.emit("message", { peer: id, data });
    }
  }

  /** @param {Record<string, unknown>} wire */
  #hear(wire) {
    const transcript = this.#roster.hear(wire);
    if (transcript !== null) this.emit("transcript", transcript);
  }

  // Signaling

  /** @param {SignalingEvent} event */
  #onSignaling(event) {
    if (event.type === "closed") {
      this.#clear();
      this.#become("failed");
      return this.emit("failed", { peer: SERVER, error: event.error });
    }
    if (this.#joined === null) return;
    switch (event.type) {
      case "down":
        this.#become("reconnecting");
        return this.emit("reconnecting", { peer: SERVER, by: "signaling", attempt: 1, delay: 0 });
      case "rejoined":
        return void this.#rejoin(event.joined);
      case "state":
        return this.#onState(event.state);
      case "peer-joined":
        return this.#onPeerJoined(event.participant);
      case "peer-left":
        return this.#onPeerLeft(event.id);
      case "peer-muted":
        if (!this.#roster.mute(event.id, event.muted)) return;
        return this.emit("peer-muted", { participantId: event.id, muted: event.muted });
      case "captions": {
        this.#joined.state.captions = event.language;
        const { room, mode, captions } = this.#joined.state;
        return this.emit("room", { room, mode, captions, participants: this.participants });
      }
      case "media-closed":
        return this.#connections.get(SERVER)?.lost();
      case "signal":
        return this.#onSignal(event.from, event.signal);
      case "speaking":
        return this.#speaking(event.id, event.active);
      case "transcript":
        return this.#hear(event.wire);
      case "error": {
        const peer = event.about === null ? undefined : this.#connections.get(event.about);
        if (peer !== undefined) peer.refused(event.error);
        else this.emit("error", { peer: event.about, error: event.error });
      }
    }
  }

  /** @param {Joined} joined */
  async #rejoin(joined) {
    const before = this.#joined;
    await this.#refreshIceServers(joined.iceServers);
    // meanwhile it may have been left, or lost again
    if (this.#joined === before && this.#signaling.up) this.#enter(joined);
  }

  /** @param {import("./signaling.js").RoomState} state */
  #onState(state) {
    const there = new Set(state.participants.map(({ id }) => id));
    for (const { id } of this.participants) if (!there.has(id)) this.#onPeerLeft(id);
    for (const participant of state.participants) {
      this.#onPeerJoined(participant);
      if (this.#roster.mute(participant.id, participant.muted)) {
        this.emit("peer-muted", { participantId: participant.id, muted: participant.muted });
      }
    }
  }

  /** @param {import("./signaling.js").Participant} participant */
  #onPeerJoined(participant) {
    const member = this.#roster.join(participant);
    if (member === null) return;
    this.#joined?.state.participants.push(participant);
    this.emit("peer-joined", member);
    const reachable = this.#topology === "peers" && participant.transport === "webrtc";
    if (reachable) this.#addPeer(participant.id, false).start(); // whoever comes later calls
  }

  /** @param {string} id */
  #onPeerLeft(id) {
    this.#connections.drop(id);
    const member = this.#roster.leave(id);
    if (member !== null) this.emit("peer-left", member);
    const participants = this.#joined?.state.participants ?? [];
    const place = participants.findIndex((participant) => participant.id === id);
    if (place >= 0) participants.splice(place, 1);
  }

  /**
   * @param {string} from
   * @param {import("./signaling.js").Signal} signal
   */
  #onSignal(from, signal) {
    let peer = this.#connections.get(from);
    // somebody who connects to each of the others reaches those who talk through the server too
    if (peer === undefined && signal.type === "offer" && this.#roster.members.has(from)) {
      peer = this.#addPeer(from, false);
    }
    void peer?.take(signal);
  }

  // Small things

  /** @param {string} id */
  #peer(id) {
    this.#demandRoom();
    const peer = this.#connections.get(id);
    if (peer === undefined) throw new RtcError("no_peer");
    return peer;
  }

  #demandRoom() {
    this.#demand(this.#state !== "new", "not_initialized");
    this.#demand(this.#joined !== null, "not_joined");
  }

  /**
   * @param {boolean} condition
   * @param {string} otherwise
   */
  #demand(condition, otherwise) {
    if (this.#state === "closed") throw new RtcError("closed");
    if (!condition) throw new RtcError(otherwise);
  }

  /** @param {ManagerState} state */
  #become(state) {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", { state });
  }
}
