/**
 * What a stream is like, in six figures, and what is wrong with it, in words.
 *
 *     const analytics = new StreamAnalytics();
 *     setInterval(async () => {
 *       show(await analytics.collectMetrics(connection));
 *       for (const { type, recommendation } of analytics.detectIssues()) tell(type, recommendation);
 *     }, 1000);
 */

import { QualityMeter } from "./quality.js";

/**
 * @typedef {object} StreamMetrics Of the time since the last look.
 * @property {number} bitrate Bits a second: of what comes in, or, where nothing does, of what goes out.
 * @property {number} packetLoss Share of the packets, 0 to 1.
 * @property {number} jitter Milliseconds.
 * @property {number} latency Round trip in milliseconds.
 * @property {number} bufferLevel Milliseconds of sound that wait to be played, or, where nothing is played, to be sent.
 * @property {number} audioLevel Of this side's microphone, 0 to 1.
 */

/**
 * @typedef {object} StreamIssue
 * @property {"high-packet-loss" | "high-latency" | "high-jitter"} type
 * @property {"warning" | "critical"} severity
 * @property {number} value As in the metrics.
 * @property {string} recommendation
 */

/** A value over these is an issue; over `critical`, a critical one. */
const LIMITS = {
  packetLoss: { warning: 0.05, critical: Infinity },
  latency: { warning: 200, critical: 500 },
  jitter: { warning: 30, critical: Infinity },
};

/** @type {readonly {metric: keyof typeof LIMITS, type: StreamIssue["type"], recommendation: string}[]} */
const ISSUES = [
  {
    metric: "packetLoss",
    type: "high-packet-loss",
    recommendation: "Reduce bitrate or check network connection",
  },
  { metric: "latency", type: "high-latency", recommendation: "Use closer server or reduce processing" },
  { metric: "jitter", type: "high-jitter", recommendation: "Increase jitter buffer size" },
];

/** @typedef {Record<string, unknown> & {type: string}} Stat */

export class StreamAnalytics {
  #meter = new QualityMeter();
  #player;

  /** @type {StreamMetrics} */
  metrics = { bitrate: 0, packetLoss: 0, jitter: 0, latency: 0, bufferLevel: 0, audioLevel: 0 };

  /**
   * @param {object} [options]
   * @param {{stats: {level: number}}} [options.player] A `StreamPlayer`, whose buffer is asked.
   */
  constructor({ player } = {}) {
    this.#player = player ?? null;
  }

  /**
   * Look at a connection. What it counts is compared with the last look, so that one instance looks at one connection.
   *
   * @param {{getStats: () => Promise<Iterable<[string, any]>>} | {conditions: (looker: object) => import("./stream-events.js").StreamConditions}} connection
   *   An `RTCPeerConnection`, or an `AudioStreamManager`.
   * @param {{audioLevel?: number}} [more] Of the capture, 0 to 1, where the connection does not know it.
   * @returns {Promise<StreamMetrics>}
   */
  async collectMetrics(connection, { audioLevel } = {}) {
    const seen = "conditions" in connection ? ofStream(connection.conditions(this)) : await this.#ofPeer(connection);
    this.metrics = {
      ...seen,
      bufferLevel: this.#player?.stats.level ?? seen.bufferLevel,
      audioLevel: audioLevel ?? seen.audioLevel,
    };
    return this.metrics;
  }

  /** What is wrong, by the last look. @returns {StreamIssue[]} */
  detectIssues() {
    /** @type {StreamIssue[]} */
    const issues = [];
    for (const { metric, type, recommendation } of ISSUES) {
      const value = this.metrics[metric];
      const { warning, critical } = LIMITS[metric];
      if (value > warning) issues.push({ type, severity: value > critical ? "critical" : "warning", value, recommendation });
    }
    return issues;
  }

  /**
   * @param {{getStats: () => Promise<Iterable<[string, any]>>}} connection
   * @returns {Promise<StreamMetrics>}
   */
  async #ofPeer(connection) {
    /** @type {Map<string, Stat>} */
    const report = new Map(await connection.getStats());
    const quality = this.#meter.look(report);
    const source = [...report.values()].find((stat) => stat.type === "media-source" && stat["kind"] === "audio");
    return {
      bitrate: quality.bitrateIn || quality.bitrateOut || 0,
      packetLoss: Math.max(quality.lossIn ?? 0, quality.lossOut ?? 0),
      jitter: quality.jitter ?? 0,
      latency: quality.roundTrip ?? 0,
      bufferLevel: quality.buffered ?? 0,
      audioLevel: typeof source?.["audioLevel"] === "number" ? source["audioLevel"] : 0,
    };
  }
}

/**
 * @param {import("./stream-events.js").StreamConditions} conditions
 * @returns {StreamMetrics}
 */
function ofStream({ sent, received, loss, jitter, roundTrip, waiting }) {
  return {
    bitrate: received || sent,
    packetLoss: loss,
    jitter,
    latency: roundTrip ?? 0,
    bufferLevel: waiting,
    audioLevel: 0,
  };
}
