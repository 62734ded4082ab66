/**
 * How a manager finds the others of a room: over Socket.IO, by the server's signaling events. A manager asks no more of
 * its signaling than `SignalingLink`, so that another way can take this one's place.
 */

import { readCandidate } from "./candidates.js";
import { RtcError } from "./errors.js";
import { Socket } from "./socket.js";
import { Backoff, Deadlines, systemTimers } from "./timing.js";
import { isRecord } from "./wire.js";

const JOIN_DEADLINE_MS = 10_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 15_000;

/** Errors after which asking again cannot help. */
const FINAL = new Set(["unauthorized", "forbidden", "bad_message", "not_found"]);

/** Events whose refusal comes by their acknowledgement too. */
const ACKNOWLEDGED = new Set(["join-room", "offer", "answer"]);

/**
 * @typedef {object} Membership What a client asks for.
 * @property {string} room
 * @property {string} user A name that others see.
 * @property {string} role
 * @property {"relay" | "mix"} [mode] Counts when the room is made.
 * @property {string} [captions] Language of captions; absent for none.
 */

/**
 * @typedef {object} Participant
 * @property {string} id
 * @property {string} user
 * @property {string} role
 * @property {string} transport
 * @property {boolean} muted
 * @property {boolean | null} polite Whether this side gives way when two offers cross; null where nobody said.
 */

/**
 * @typedef {object} RoomState
 * @property {string} room
 * @property {string} mode
 * @property {string | null} captions Their language, "" for the server's own; null where there are none.
 * @property {Participant[]} participants All of them, with this one.
 */

/**
 * @typedef {object} Joined
 * @property {string} id This participant's.
 * @property {RoomState} state
 * @property {RTCIceServer[] | null} iceServers Where the server told them.
 */

/**
 * @typedef {{type: "offer" | "answer", sdp: string} | {type: "candidate", candidate: RTCIceCandidateInit | null}} Signal
 */

/**
 * What signaling tells. `down`: no connection, it is made again; `rejoined`: it is, under a new id, and every peer has to be
 * made anew; `state`: all of it, where some of the other events may have been lost; `media-closed`: the media server has
 * let go of this side's connection, and not for a newer one; `closed`: it is not coming back.
 *
 * @typedef {{type: "down"}
 *   | {type: "rejoined", joined: Joined}
 *   | {type: "state", state: RoomState}
 *   | {type: "closed", error: RtcError}
 *   | {type: "peer-joined", participant: Participant}
 *   | {type: "peer-left", id: string}
 *   | {type: "peer-muted", id: string, muted: boolean}
 *   | {type: "captions", language: string | null}
 *   | {type: "media-closed"}
 *   | {type: "signal", from: string, signal: Signal}
 *   | {type: "speaking", id: string, active: boolean}
 *   | {type: "transcript", wire: Record<string, unknown>}
 *   | {type: "error", error: RtcError, about: string | null}} SignalingEvent
 */

/**
 * @typedef {object} SignalingLink
 * @property {boolean} up Whether `signal` reaches somebody.
 * @property {(tell: (event: SignalingEvent) => void) => void} listen
 * @property {(membership: Membership) => Promise<Joined>} join Throws an `RtcError`.
 * @property {() => void} leave
 * @property {(to: string, signal: Signal) => void} signal
 * @property {(muted: boolean) => void} mute
 * @property {() => void} retryNow Where a connection is waited for: at once.
 * @property {() => void} close
 */

/** @implements {SignalingLink} */
export class SocketSignaling {
  #socket;
  #own;
  #deadlines;
  #backoff;
  /** @type {(event: SignalingEvent) => void} */
  #tell = () => undefined;
  /** @type {Membership | null} */
  #membership = null;
  #joined = false;
  /** @type {RoomState | null} */
  #state = null;
  /** @type {((outcome: Joined | RtcError) => void) | null} What waits for the join that is under way. */
  #waiting = null;
  #muted = false;
  #mayComeBack = true;
  /** @type {[string, (...data: any[]) => void][]} */
  #listeners;

  /**
   * @param {import("./socket.js").SocketLike} socket Of `socket.js`, or of socket.io-client.
   * @param {object} [options]
   * @param {boolean} [options.own] Whether nobody else uses the socket, so that it is disconnected on leaving.
   * @param {import("./timing.js").Timers} [options.timers]
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor(socket, { own = false, timers = systemTimers, random = Math.random } = {}) {
    this.#socket = socket;
    this.#own = own;
    this.#deadlines = new Deadlines(timers);
    this.#backoff = new Backoff({ first: BACKOFF_FIRST_MS, cap: BACKOFF_CAP_MS, giveUp: Infinity, random });
    /** @type {Record<string, (data: any) => void>} */
    const listeners = {
      connect: () => this.#onConnect(),
      disconnect: (reason) => this.#onDisconnect(String(reason)),
      connect_error: (error) => this.#onConnectError(error),
      "room-state": (data) => this.#onState(data),
      "room-captions": (data) => this.#about(data, () => this.#tell({ type: "captions", language: captionsOf(data) })),
      "peer-joined": (data) =>
        this.#about(data, () => this.#tell({ type: "peer-joined", participant: readParticipant(data) })),
      "peer-left": (data) => this.#about(data, (id) => this.#tell({ type: "peer-left", id })),
      "peer-muted": (data) =>
        this.#about(data, (id) => this.#tell({ type: "peer-muted", id, muted: data.muted === true })),
      speaking: (data) =>
        this.#about(data, (id) => this.#tell({ type: "speaking", id, active: data.active === true })),
      "media-state": (data) =>
        this.#about(data, () => {
          if (data.state === "closed" && data.reason !== "replaced") this.#tell({ type: "media-closed" });
        }),
      offer: (data) => this.#onDescription("offer", data),
      answer: (data) => this.#onDescription("answer", data),
      "ice-candidate": (data) => this.#onCandidate(data),
      transcription_result: (data) => this.#about(data, () => this.#tell({ type: "transcript", wire: data })),
      error: (data) => this.#onError(data),
      closing: (data) => {
        this.#mayComeBack = !isRecord(data) || data["reconnect"] !== false;
      },
    };
    this.#listeners = Object.entries(listeners);
    for (const [event, listener] of this.#listeners) socket.on(event, listener);
  }

  /**
   * Signaling over a socket of its own.
   *
   * @param {string | URL} base Of the server, `http:` or `https:`.
   * @param {string} [key] Access key; "" for none.
   */
  static to(base, key = "") {
    return new SocketSignaling(new Socket(base, { auth: () => (key === "" ? {} : { token: key }) }), { own: true });
  }

  get up() {
    return this.#socket.connected && this.#joined;
  }

  /** @param {(event: SignalingEvent) => void} tell */
  listen(tell) {
    this.#tell = tell;
  }

  /**
   * @param {Membership} membership
   * @returns {Promise<Joined>}
   */
  join(membership) {
    this.#membership = membership;
    this.#mayComeBack = true;
    this.#muted = false;
    return new Promise((resolve, reject) => {
      this.#waiting = (outcome) => {
        this.#waiting = null;
        if (!(outcome instanceof RtcError)) return resolve(outcome);
        this.leave();
        reject(outcome);
      };
      this.#deadlines.set("join", JOIN_DEADLINE_MS, () => this.#waiting?.(new RtcError("unreachable")));
      if (this.#socket.connected) this.#ask();
      else this.#socket.connect();
    });
  }

  leave() {
    this.#deadlines.cancelAll();
    if (this.up) this.#socket.emit("leave-room", { roomId: this.#membership?.room });
    this.#joined = false;
    this.#membership = null;
    this.#state = null;
    if (this.#own) this.#socket.disconnect();
    this.#waiting?.(new RtcError("closed"));
  }

  /**
   * @param {string} to Id of a participant, or `server`.
   * @param {Signal} signal
   */
  signal(to, signal) {
    if (!this.up) return; // after a lost connection every peer is made anew
    const about = { roomId: this.#membership?.room, targetSocketId: to };
    if (signal.type === "candidate") this.#socket.emit("ice-candidate", { ...about, candidate: signal.candidate });
    else {
      const sdp = { type: signal.type, sdp: signal.sdp };
      this.#socket.emit(signal.type, { ...about, sdp }, (/** @type {unknown} */ outcome) => {
        // a refused answer was to an offer that its maker has taken back
        if (signal.type === "offer" && isRecord(outcome) && outcome["status"] === "error") {
          this.#tell({ type: "error", error: RtcError.fromWire(outcome["error"]), about: to });
        }
      });
    }
  }

  /** Do not wait for the next attempt to connect. */
  retryNow() {
    if (this.#membership !== null && !this.#socket.connected) this.#socket.connect();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#muted = muted;
    if (this.up) this.#socket.emit(muted ? "mute" : "unmute", { roomId: this.#membership?.room });
  }

  close() {
    this.leave();
    for (const [event, listener] of this.#listeners) this.#socket.off(event, listener);
    this.#tell = () => undefined;
  }

  // Coming in, and coming back

  #ask() {
    const membership = this.#membership;
    if (membership === null) return;
    const { room, user, role, mode, captions } = membership;
    this.#state = null;
    this.#deadlines.set("join", JOIN_DEADLINE_MS, () => this.#refused(new RtcError("unreachable")));
    this.#socket.emit(
      "join-room",
      {
        roomId: room,
        userId: user,
        role,
        ...(mode === undefined ? {} : { mode }),
        ...(captions === undefined ? {} : { captions: { language_code: captions } }),
      },
      (/** @type {unknown} */ answer) => {
        if (membership === this.#membership) this.#onAnswer(answer);
      },
    );
  }

  /** @param {unknown} answer */
  #onAnswer(answer) {
    if (!isRecord(answer)) return this.#refused(new RtcError("bad_message"));
    if (answer["status"] !== "joined") return this.#refused(RtcError.fromWire(answer["error"]));
    this.#deadlines.cancelAll();
    this.#backoff.succeeded();
    const again = this.#joined === false && this.#waiting === null;
    this.#joined = true;
    /** @type {Joined} */
    const joined = {
      id: String(answer["participantId"] ?? this.#socket.id),
      state: this.#state ?? readState(answer),
      iceServers: Array.isArray(answer["iceServers"]) ? answer["iceServers"] : null,
    };
    if (this.#muted) this.mute(true);
    if (again) this.#tell({ type: "rejoined", joined });
    else this.#waiting?.(joined);
  }

  /** @param {RtcError} error */
  #refused(error) {
    this.#deadlines.cancel("join");
    if (this.#waiting !== null) return this.#waiting(error);
    if (FINAL.has(error.code)) return this.#over(error);
    const wait = this.#backoff.failed(0, 1000 * (error.retryAfter ?? 0)) ?? BACKOFF_CAP_MS;
    this.#deadlines.set("again", wait, () => this.#ask());
  }

  /** @param {RtcError} error */
  #over(error) {
    this.leave();
    this.#tell({ type: "closed", error });
  }

  #onConnect() {
    this.#deadlines.cancel("reconnect");
    this.#ask();
  }

  /** @param {string} reason */
  #onDisconnect(reason) {
    const was = this.#joined;
    this.#joined = false;
    if (this.#membership === null) return;
    this.#deadlines.cancel("join", "again");
    if (!this.#mayComeBack) return this.#over(new RtcError("closed_by_server", { detail: reason }));
    // sent away by the server, a client does not come back by itself
    if (reason === "io server disconnect") {
      const wait = this.#backoff.failed(0, 0) ?? BACKOFF_CAP_MS;
      this.#deadlines.set("reconnect", wait, () => this.#socket.connect());
    }
    if (was) this.#tell({ type: "down" });
  }

  /** @param {unknown} error */
  #onConnectError(error) {
    const refused = isRecord(error) || error instanceof Error ? /** @type {{data?: unknown}} */ (error).data : undefined;
    if (!isRecord(refused) || typeof refused["code"] !== "string") return; // the network; it is tried again
    const reason = RtcError.fromWire(refused);
    if (this.#waiting !== null) this.#waiting(reason);
    else if (this.#membership !== null) this.#over(reason);
  }

  // What others do

  /**
   * @param {unknown} data
   * @param {(id: string) => void} action
   */
  #about(data, action) {
    if (isRecord(data) && this.#membership !== null) action(String(data["socketId"] ?? data["participantId"] ?? ""));
  }

  /** @param {unknown} data */
  #onState(data) {
    if (!isRecord(data)) return;
    this.#state = readState(data);
    if (this.#joined) this.#tell({ type: "state", state: this.#state }); // told again after events were lost
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {unknown} data
   */
  #onDescription(type, data) {
    if (!isRecord(data)) return;
    const sdp = isRecord(data["sdp"]) ? data["sdp"]["sdp"] : data["sdp"];
    if (typeof sdp !== "string") return;
    this.#tell({ type: "signal", from: String(data["fromSocketId"] ?? "server"), signal: { type, sdp } });
  }

  /** @param {unknown} data */
  #onCandidate(data) {
    if (!isRecord(data)) return;
    const signal = /** @type {Signal} */ ({ type: "candidate", candidate: readCandidate(data["candidate"]) });
    this.#tell({ type: "signal", from: String(data["fromSocketId"] ?? "server"), signal });
  }

  /** @param {unknown} data */
  #onError(data) {
    if (this.#membership === null || !isRecord(data)) return;
    const { event, targetSocketId: target } = data;
    const about = typeof target === "string" ? target : null;
    if (about === null && ACKNOWLEDGED.has(String(event))) return; // its acknowledgement has told of it
    if (event === "ice-candidate") return; // a connection needs one that fits, not all
    const error = RtcError.fromWire(data);
    if (event === "captions") {
      return this.#tell({ type: "error", error: new RtcError("no_captions", { detail: error.message }), about: null });
    }
    this.#tell({ type: "error", error, about });
  }
}

/**
 * @param {Record<string, unknown>} wire
 * @returns {RoomState}
 */
function readState(wire) {
  const list = Array.isArray(wire["participants"]) ? wire["participants"] : [];
  return {
    room: String(wire["roomId"] ?? ""),
    mode: String(wire["mode"] ?? ""),
    captions: captionsOf(wire),
    participants: list.filter(isRecord).map(readParticipant),
  };
}

/**
 * @param {Record<string, unknown>} wire
 * @returns {string | null}
 */
function captionsOf({ captions }) {
  if (!isRecord(captions)) return null;
  const language = captions["language_code"];
  return typeof language === "string" ? language : "";
}

/**
 * @param {Record<string, unknown>} wire
 * @returns {Participant}
 */
function readParticipant(wire) {
  return {
    id: String(wire["socketId"] ?? ""),
    user: String(wire["userId"] ?? ""),
    role: String(wire["role"] ?? ""),
    transport: typeof wire["transport"] === "string" ? wire["transport"] : "webrtc",
    muted: wire["muted"] === true,
    polite: typeof wire["polite"] === "boolean" ? wire["polite"] : null,
  };
}
