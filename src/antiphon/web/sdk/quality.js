/**
 * What a connection is like, out of the many numbers of `getStats`.
 */

/**
 * @typedef {object} Quality Of one connection; null where it is not known (yet).
 * @property {number | null} roundTrip Milliseconds.
 * @property {number | null} jitter Milliseconds, of what comes in.
 * @property {number | null} lossIn Share of the packets that did not come in since the last look, 0 to 1.
 * @property {number | null} lossOut The same of what goes out, as the other side reports it.
 * @property {number | null} concealed Share of the sound heard since the last look that had to be made up, 0 to 1.
 * @property {number | null} buffered Milliseconds of sound that waited to be heard, on average since the last look.
 * @property {number | null} bitrateIn Bits a second.
 * @property {number | null} bitrateOut Bits a second.
 * @property {"direct" | "relay" | null} route `relay`: by way of a TURN server, on this side or the other.
 * @property {"udp" | "tcp" | "tls" | null} protocol To the other side, or to the TURN server.
 * @property {"good" | "fair" | "poor" | null} grade
 */

/**
 * @typedef {object} Counters
 * @property {number} at Milliseconds.
 * @property {number} received Packets.
 * @property {number} lost Packets.
 * @property {number} bytesIn
 * @property {number} bytesOut
 * @property {number} samples
 * @property {number} concealed Samples.
 * @property {number} emitted Samples that left the jitter buffer.
 * @property {number} waited Milliseconds that all of them were in it, together.
 */

/** @typedef {Record<string, unknown> & {id: string, type: string, timestamp: number}} Entry */

/** Above any of these it is fair; above thrice, poor (ITU-T G.114 for the delay: 150 ms one way are noticed). */
const FAIR = { roundTrip: 150, jitter: 30, loss: 0.02 };

/** Compares one report of a connection with the one before. */
export class QualityMeter {
  /** @type {Counters | null} */
  #before = null;

  /**
   * @param {Iterable<[string, any]>} report What `getStats` gave.
   * @returns {Quality}
   */
  look(report) {
    /** @type {Map<string, Entry>} */
    const entries = new Map(report);
    const all = [...entries.values()];
    const inbound = all.filter((entry) => entry.type === "inbound-rtp");
    const now = {
      at: Math.max(0, ...all.map((entry) => entry.timestamp)),
      received: sum(inbound, "packetsReceived"),
      lost: sum(inbound, "packetsLost"),
      bytesIn: sum(inbound, "bytesReceived"),
      bytesOut: sum(all.filter((entry) => entry.type === "outbound-rtp"), "bytesSent"),
      samples: sum(inbound, "totalSamplesReceived"),
      concealed: sum(inbound, "concealedSamples") - sum(inbound, "silentConcealedSamples"),
      emitted: sum(inbound, "jitterBufferEmittedCount"),
      waited: 1000 * sum(inbound, "jitterBufferDelay"),
    };
    const before = this.#before;
    this.#before = now;
    const pair = activePair(entries);
    const local = entries.get(String(pair?.["localCandidateId"]));
    const remote = entries.get(String(pair?.["remoteCandidateId"]));
    const remoteInbound = all.filter((entry) => entry.type === "remote-inbound-rtp");
    const jitters = inbound.filter((entry) => numberOf(entry, "packetsReceived") > 0).map((e) => numberOf(e, "jitter"));
    const quality = {
      roundTrip: roundTrip(pair, remoteInbound),
      jitter: jitters.length === 0 ? null : 1000 * Math.max(...jitters),
      lossIn: share(before, now, (c) => c.lost, (c) => c.lost + c.received),
      lossOut: remoteInbound.length === 0 ? null : clamp(Math.max(...remoteInbound.map((e) => numberOf(e, "fractionLost")))),
      concealed: share(before, now, (c) => c.concealed, (c) => c.samples),
      buffered: mean(before, now, (c) => c.waited, (c) => c.emitted),
      bitrateIn: rate(before, now, (c) => c.bytesIn),
      bitrateOut: rate(before, now, (c) => c.bytesOut),
      route: routeOf(local, remote),
      protocol: protocolOf(local),
    };
    return { ...quality, grade: gradeOf(quality) };
  }
}

/** @param {Map<string, Entry>} entries @returns {Entry | undefined} */
function activePair(entries) {
  for (const entry of entries.values()) {
    const id = entry.type === "transport" ? entry["selectedCandidatePairId"] : undefined;
    if (typeof id === "string" && entries.has(id)) return entries.get(id);
  }
  // Firefox marks the pair itself
  return [...entries.values()].find((entry) => entry.type === "candidate-pair" && entry["selected"] === true);
}

/**
 * @param {Entry | undefined} pair
 * @param {readonly Entry[]} remoteInbound
 */
function roundTrip(pair, remoteInbound) {
  const ofReports = remoteInbound.map((entry) => entry["roundTripTime"]).find((time) => typeof time === "number");
  const time = pair?.["currentRoundTripTime"] ?? ofReports;
  return typeof time === "number" ? 1000 * time : null;
}

/**
 * @param {Entry | undefined} local
 * @param {Entry | undefined} remote
 * @returns {Quality["route"]}
 */
function routeOf(local, remote) {
  if (local === undefined && remote === undefined) return null;
  return local?.["candidateType"] === "relay" || remote?.["candidateType"] === "relay" ? "relay" : "direct";
}

/** @param {Entry | undefined} local @returns {Quality["protocol"]} */
function protocolOf(local) {
  const protocol = local?.["candidateType"] === "relay" ? local["relayProtocol"] : local?.["protocol"];
  return protocol === "udp" || protocol === "tcp" || protocol === "tls" ? protocol : null;
}

/** @param {Pick<Quality, "roundTrip" | "jitter" | "lossIn" | "lossOut">} quality @returns {Quality["grade"]} */
function gradeOf({ roundTrip, jitter, lossIn, lossOut }) {
  if (roundTrip === null && lossIn === null) return null;
  const loss = Math.max(lossIn ?? 0, lossOut ?? 0);
  const worst = Math.max((roundTrip ?? 0) / (2 * FAIR.roundTrip), (jitter ?? 0) / FAIR.jitter, loss / FAIR.loss);
  if (worst <= 1) return "good";
  return worst <= 3 ? "fair" : "poor";
}

/** @param {Entry} entry @param {string} field */
function numberOf(entry, field) {
  const value = entry[field];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** @param {readonly Entry[]} entries @param {string} field */
const sum = (entries, field) => entries.reduce((total, entry) => total + numberOf(entry, field), 0);

/** @param {number} value */
const clamp = (value) => Math.max(0, Math.min(1, value));

/**
 * @param {Counters | null} before
 * @param {Counters} now
 * @param {(counters: Counters) => number} part
 * @param {(counters: Counters) => number} whole
 */
function share(before, now, part, whole) {
  const quotient = mean(before, now, part, whole);
  return quotient === null ? null : clamp(quotient);
}

/**
 * @param {Counters | null} before
 * @param {Counters} now
 * @param {(counters: Counters) => number} sum
 * @param {(counters: Counters) => number} count
 */
function mean(before, now, sum, count) {
  if (before === null) return null;
  const total = count(now) - count(before);
  return total > 0 ? (sum(now) - sum(before)) / total : null;
}

/**
 * @param {Counters | null} before
 * @param {Counters} now
 * @param {(counters: Counters) => number} bytes
 */
function rate(before, now, bytes) {
  if (before === null || now.at <= before.at) return null;
  return Math.max(0, (8000 * (bytes(now) - bytes(before))) / (now.at - before.at));
}
