/**
 * Which ways lead from this browser to the server: each is tried by itself, so that what is blocked can be named.
 */

import { RtcError } from "./errors.js";
import { eachAddress, fetchIceServers } from "./ice-servers.js";
import { StreamLevel } from "./levels.js";
import { openMicrophone, releaseMicrophone } from "./microphone.js";
import { SocketSignaling } from "./signaling.js";
import { parseObject } from "./wire.js";

const GATHER_MS = 12_000;
const CONNECT_MS = 12_000;
const SOCKET_MS = 8_000;
const LISTEN_MS = 2_000;
const LISTEN_EVERY_MS = 50;
/** A STUN server that answers has done so by then; one that does not is asked for twice as long. */
const STUN_ANSWERS_MS = 4_000;
const SILENT_LEVEL = 2 / 0x8000;

/** @typedef {"waiting" | "running" | "ok" | "warn" | "blocked" | "skipped"} Status */

/**
 * @typedef {object} Finding
 * @property {string} id `websocket`, `microphone`, `media-udp`, `media-tcp`, `servers`, or the address of a STUN or TURN server.
 * @property {string} title
 * @property {Status} status
 * @property {string} detail What was found.
 * @property {string} action What to do about it.
 * @property {string} [result] The status in a word, where the usual one does not fit.
 */

/** @typedef {Pick<Finding, "status"> & Partial<Pick<Finding, "detail" | "action" | "result">>} Outcome */

/** @typedef {"udp" | "tcp"} Transport */

const ASK_FOR_UDP = "Ask whoever runs the network to let UDP out to this server; calls then sound better.";
const ASK_FOR_PORT = "Ask whoever runs the network to let this address and port through.";

export class ConnectionCheck {
  #server;
  #key;
  #tell;
  /** @type {Finding[]} */
  #findings = [];
  #stopped = new AbortController();

  /**
   * @param {object} options
   * @param {string | URL} options.server Its address.
   * @param {string} [options.key] Access key; "" for none.
   * @param {(findings: readonly Finding[]) => void} [options.tell] All findings, whenever one has changed.
   * @param {boolean} [options.microphone] Whether to try it, for which the browser may ask the user.
   */
  constructor({ server, key = "", tell = () => undefined, microphone = true }) {
    this.#server = server;
    this.#key = key;
    this.#tell = tell;
    this.#add("websocket", "Server, by WebSocket");
    if (microphone) this.#add("microphone", "Microphone");
    this.#add("media-udp", "Sound to the server, by UDP");
    this.#add("media-tcp", "Sound to the server, by TCP");
    this.#add("servers", "STUN and TURN servers");
  }

  /** @returns {Promise<readonly Finding[]>} */
  async run() {
    const hasMicrophone = this.#findings.some(({ id }) => id === "microphone");
    await Promise.all([
      this.#try("websocket", () => checkWebSocket(this.#server)),
      hasMicrophone ? this.#try("microphone", () => checkMicrophone(this.#stopped.signal)) : undefined,
      this.#try("media-udp", () => this.#checkMedia("udp")),
      this.#try("media-tcp", () => this.#checkMedia("tcp")),
      this.#checkServers(),
    ]);
    return this.#findings;
  }

  /** What is under way is given up. */
  stop() {
    this.#stopped.abort();
    this.#tell = () => undefined;
  }

  async #checkServers() {
    /** @type {{url: string, server: RTCIceServer}[]} */
    let addresses = [];
    await this.#try("servers", async () => {
      const { iceServers } = await fetchIceServers(this.#server, this.#key);
      addresses = eachAddress(iceServers);
      if (addresses.length === 0) {
        return { status: "skipped", result: "none", detail: "This server names none.", action: "" };
      }
      return { status: "ok", result: String(addresses.length), detail: "", action: "" };
    });
    for (const { url } of addresses) this.#add(url, titleOf(url));
    await Promise.all(
      addresses.map(({ url, server }) => this.#try(url, () => checkIceServer(url, server, this.#stopped.signal))),
    );
  }

  /** @param {Transport} transport @returns {Promise<Outcome>} */
  async #checkMedia(transport) {
    const signaling = SocketSignaling.to(this.#server, this.#key);
    try {
      return await checkMedia(signaling, transport, this.#stopped.signal);
    } finally {
      signaling.close();
    }
  }

  /**
   * @param {string} id
   * @param {string} title
   */
  #add(id, title) {
    this.#findings.push({ id, title, status: "waiting", detail: "", action: "" });
  }

  /**
   * @param {string} id
   * @param {() => Promise<Outcome>} attempt
   */
  async #try(id, attempt) {
    this.#settle(id, { status: "running" });
    try {
      this.#settle(id, await attempt());
    } catch (error) {
      const { message, action, detail } = RtcError.because("page", error);
      this.#settle(id, { status: "blocked", result: "failed", detail: `${message}.`, action: action || detail });
    }
  }

  /**
   * @param {string} id
   * @param {Outcome} outcome
   */
  #settle(id, outcome) {
    const finding = this.#findings.find((known) => known.id === id);
    if (finding === undefined) return;
    Object.assign(finding, { detail: "", action: "" }, outcome);
    this.#tell(this.#findings);
  }
}

/**
 * All of it in a sentence or two.
 *
 * @param {readonly Finding[]} findings
 * @returns {string}
 */
export function verdict(findings) {
  const is = (/** @type {string} */ id, /** @type {Status} */ status) =>
    findings.some((finding) => finding.id === id && finding.status === status);
  const turn = findings.filter(({ id }) => /^turns?:/.test(id));
  const relays = turn.some(({ status }) => status === "ok");
  const noMicrophone = is("microphone", "blocked") ? " The microphone cannot be used." : "";
  if (is("websocket", "blocked")) return "The server cannot be reached by WebSocket: nothing works from here.";
  if (is("media-udp", "ok")) return `Sound gets through directly, as it should.${noMicrophone}`;
  if (is("media-udp", "skipped")) {
    if (relays) return `This server carries no sound itself; a TURN server can be reached.${noMicrophone}`;
    return `This server carries no sound itself; browsers have to reach each other.${noMicrophone}`;
  }
  if (is("media-tcp", "ok")) return `UDP is blocked. Sound gets through by TCP, with more delay.${noMicrophone}`;
  if (relays) return `Sound gets through by way of a TURN server only, with more delay.${noMicrophone}`;
  return `No sound gets through from here. ${turn.length > 0 ? ASK_FOR_PORT : ASK_FOR_UDP}`;
}

/**
 * A description without the candidates of another transport (RFC 8839, section 5.1).
 *
 * @param {string} sdp
 * @param {Transport} transport
 */
export function onlyTransport(sdp, transport) {
  return sdp
    .split("\r\n")
    .filter((line) => !line.startsWith("a=candidate:") || transportOf(line) === transport)
    .join("\r\n");
}

/** @param {string} line `candidate:...`, with or without `a=`. */
const transportOf = (line) => line.split(" ")[2]?.toLowerCase() ?? "";

/** @param {string} url `stun:`, `turn:` or `turns:` (RFC 7064, RFC 7065). */
export function titleOf(url) {
  const [, scheme = "", rest = ""] = /^(\w+):(.*)$/.exec(url) ?? [];
  const [address, query = ""] = rest.split("?");
  if (scheme.startsWith("stun")) return `STUN, ${address}`;
  const transport = scheme === "turns" ? "TLS" : (new URLSearchParams(query).get("transport") ?? "udp").toUpperCase();
  return `TURN by ${transport}, ${address}`;
}

// Each way

/** @param {string | URL} base @returns {Promise<Outcome>} */
function checkWebSocket(base) {
  const url = new URL("/socket.io/?EIO=4&transport=websocket", base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const since = performance.now();
  const socket = new WebSocket(url);
  /** @type {Promise<Outcome>} */
  const outcome = new Promise((resolve) => {
    const blocked = () =>
      resolve({
        status: "blocked",
        detail: "The server is there, but no WebSocket comes about.",
        action: "A proxy or a security program may stand between. Ask whoever runs the network to let WebSockets through.",
      });
    socket.onmessage = () => resolve({ status: "ok", detail: milliseconds(performance.now() - since) });
    socket.onerror = socket.onclose = blocked;
    setTimeout(blocked, SOCKET_MS);
  });
  return outcome.finally(() => {
    socket.onmessage = socket.onerror = socket.onclose = null;
    socket.close();
  });
}

/** @param {AbortSignal} stopped @returns {Promise<Outcome>} */
async function checkMicrophone(stopped) {
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await openMicrophone();
  } catch (error) {
    const { message, action } = RtcError.because("capture_failed", error);
    return { status: "blocked", result: "not there", detail: `${message}.`, action };
  }
  const meter = new StreamLevel(stream);
  try {
    const label = stream.getAudioTracks()[0]?.label ?? "";
    const until = performance.now() + LISTEN_MS;
    while (performance.now() < until && !stopped.aborted) {
      if (meter.level > SILENT_LEVEL) return { status: "ok", result: "heard", detail: label };
      await new Promise((resolve) => setTimeout(resolve, LISTEN_EVERY_MS));
    }
    return {
      status: "warn",
      result: "silent",
      detail: label === "" ? "Nothing but silence comes." : `Nothing but silence comes from ${label}.`,
      action: "Look for a mute switch, or choose another microphone.",
    };
  } finally {
    meter.close();
    releaseMicrophone(stream);
  }
}

/**
 * Gather by one server alone.
 *
 * @param {string} url
 * @param {RTCIceServer} server
 * @param {AbortSignal} stopped
 * @returns {Promise<Outcome>}
 */
async function checkIceServer(url, server, stopped) {
  const relaying = /^turns?:/.test(url);
  const wanted = relaying ? "relay" : "srflx";
  const connection = new RTCPeerConnection({
    iceServers: [server],
    iceTransportPolicy: relaying ? "relay" : "all",
  });
  const since = performance.now();
  /** @type {RTCPeerConnectionIceErrorEvent | null} */
  let failure = null;
  try {
    const found = await new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (candidate?.type === wanted) resolve(candidate);
        else if (candidate === null) resolve(null);
      };
      connection.onicecandidateerror = (event) => {
        failure = event;
      };
      setTimeout(() => resolve(undefined), GATHER_MS);
      stopped.addEventListener("abort", () => resolve(undefined));
      connection.createDataChannel("check");
      void connection.setLocalDescription();
    });
    const took = performance.now() - since;
    if (found) {
      const address = relaying || !found.address ? "" : `, you are seen as ${found.address}`;
      return { status: "ok", detail: `${milliseconds(took)}${address}` };
    }
    // one that sees us under an address we know adds no candidate
    if (!relaying && found === null && failure === null && took < STUN_ANSWERS_MS) {
      return { status: "ok", detail: milliseconds(took) };
    }
    return refusedBy(failure, relaying);
  } finally {
    connection.onicecandidate = connection.onicecandidateerror = null;
    connection.close();
  }
}

/**
 * @param {RTCPeerConnectionIceErrorEvent | null} failure
 * @param {boolean} relaying
 * @returns {Outcome}
 */
function refusedBy(failure, relaying) {
  const { errorCode = 701, errorText = "" } = failure ?? {};
  // 701 is the browser's own: it could not be reached (WebRTC 1.0, section 4.8.3); others are the server's (RFC 8656)
  if (errorCode >= 300 && errorCode < 700) {
    return {
      status: "blocked",
      result: "refused",
      detail: `It answers ${`${errorCode} ${errorText}`.replace(/[\s.]+$/, "")}.`,
      action:
        errorCode === 401 || errorCode === 441
          ? "Its credentials are wrong: whoever runs the server has to give both the same secret, and the right time."
          : "Whoever runs the server should look into its log.",
    };
  }
  return {
    status: "blocked",
    detail: relaying ? "It does not answer." : "It does not answer; so others cannot learn your address.",
    action: ASK_FOR_PORT,
  };
}

/**
 * Connect to the media server by one transport alone, in a room of its own, with a data channel and nothing to send.
 *
 * @param {import("./signaling.js").SignalingLink} signaling
 * @param {Transport} transport
 * @param {AbortSignal} stopped
 * @returns {Promise<Outcome>}
 */
async function checkMedia(signaling, transport, stopped) {
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
  try {
    /** @type {Outcome} */
    return await new Promise((resolve, reject) => {
      const blocked = () =>
        resolve({
          status: "blocked",
          detail: "The server has told its address, and nothing comes back from there.",
          action: transport === "udp" ? ASK_FOR_UDP : ASK_FOR_PORT,
        });
      signaling.listen((event) => {
        if (event.type === "closed") reject(event.error);
        else if (event.type === "error" && event.about === "server") resolve(withoutMedia(event.error));
        else if (event.type === "signal" && event.signal.type === "answer") {
          const answer = onlyTransport(event.signal.sdp, transport);
          if (!answer.includes("a=candidate:")) {
            resolve({ status: "skipped", detail: `The server offers no ${transport.toUpperCase()}.` });
          }
          connection.setRemoteDescription({ type: "answer", sdp: answer }).catch(reject);
        }
      });
      connection.onicecandidate = ({ candidate }) =>
        signaling.signal("server", { type: "candidate", candidate: candidate?.toJSON() ?? null });
      connection.onconnectionstatechange = () => {
        if (connection.connectionState === "failed") blocked();
      };
      const channel = connection.createDataChannel("metadata", { ordered: true, maxRetransmits: 3 });
      connection.addTransceiver("audio", { direction: "recvonly" });
      channel.onopen = () => channel.send(JSON.stringify({ type: "ping", t: performance.now() }));
      channel.onmessage = ({ data }) => {
        const { type, t } = parseObject(data);
        if (type === "pong") resolve({ status: "ok", detail: milliseconds(performance.now() - Number(t)) });
      };
      setTimeout(blocked, CONNECT_MS);
      stopped.addEventListener("abort", blocked);
      const room = `check-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
      signaling
        .join({ room, user: "Connection check", role: "check", mode: "relay" })
        .then(async () => {
          await connection.setLocalDescription();
          signaling.signal("server", { type: "offer", sdp: connection.localDescription?.sdp ?? "" });
        })
        .catch(reject);
    });
  } finally {
    connection.onicecandidate = connection.onconnectionstatechange = null;
    connection.close();
  }
}

/** @param {RtcError} error @returns {Outcome} */
function withoutMedia(error) {
  if (error.code === "engine_unavailable") return { status: "skipped", detail: "This server carries no sound itself." };
  return { status: "blocked", result: "refused", detail: `${error.message}.`, action: error.action };
}

/** @param {number} time */
const milliseconds = (time) => `${Math.max(1, Math.round(time))} ms`;
