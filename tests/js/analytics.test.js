import assert from "node:assert/strict";
import { test } from "node:test";

import { StreamAnalytics } from "../../src/antiphon/web/sdk/stream-analytics.js";

/**
 * A peer connection's report after some seconds in which 40 kb/s came in and every tenth packet was lost.
 *
 * @param {number} seconds
 */
const report = (seconds) => ({
  getStats: async () =>
    /** @type {[string, any][]} */ ([
      [
        "in",
        {
          id: "in",
          type: "inbound-rtp",
          kind: "audio",
          timestamp: 1000 * seconds,
          bytesReceived: 5000 * seconds,
          packetsReceived: 45 * seconds,
          packetsLost: 5 * seconds,
          jitter: 0.04,
          jitterBufferDelay: 48_000 * 0.06 * seconds,
          jitterBufferEmittedCount: 48_000 * seconds,
        },
      ],
      ["pair", { id: "pair", type: "candidate-pair", timestamp: 1000 * seconds, currentRoundTripTime: 0.6, selected: true }],
      ["mic", { id: "mic", type: "media-source", kind: "audio", timestamp: 1000 * seconds, audioLevel: 0.25 }],
    ]),
});

test("figures are of the time since the last look, in bits, shares and milliseconds", async () => {
  const analytics = new StreamAnalytics();
  await analytics.collectMetrics(report(10));
  const metrics = await analytics.collectMetrics(report(12));
  const rounded = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, Math.round(1e6 * value) / 1e6]));
  assert.deepEqual(rounded, {
    bitrate: 40_000,
    packetLoss: 0.1,
    jitter: 40,
    latency: 600,
    bufferLevel: 60,
    audioLevel: 0.25,
  });
});

test("each issue has its threshold and says what to do", async () => {
  const analytics = new StreamAnalytics();
  assert.deepEqual(analytics.detectIssues(), []);
  await analytics.collectMetrics(report(10));
  await analytics.collectMetrics(report(12));
  assert.deepEqual(
    analytics.detectIssues().map(({ type, severity, recommendation }) => [type, severity, recommendation]),
    [
      ["high-packet-loss", "warning", "Reduce bitrate or check network connection"],
      ["high-latency", "critical", "Use closer server or reduce processing"],
      ["high-jitter", "warning", "Increase jitter buffer size"],
    ],
  );
  analytics.metrics = { ...analytics.metrics, packetLoss: 0.05, latency: 200, jitter: 30 };
  assert.deepEqual(analytics.detectIssues(), []);
  analytics.metrics = { ...analytics.metrics, packetLoss: 0.051, latency: 201, jitter: 30.1 };
  assert.deepEqual(
    analytics.detectIssues().map(({ severity }) => severity),
    ["warning", "warning", "warning"],
  );
});

test("a WebSocket stream has the same figures", async () => {
  const analytics = new StreamAnalytics({ player: { stats: { level: 80 } } });
  const conditions = {
    roundTrip: 30,
    loss: 0.02,
    jitter: 4,
    sent: 24_000,
    received: 32_000,
    waiting: 400,
    unacknowledged: 500,
    lost: 0,
    dropped: 1,
    buffered: 0,
  };
  const metrics = await analytics.collectMetrics({ conditions: () => conditions }, { audioLevel: 0.5 });
  assert.deepEqual(metrics, {
    bitrate: 32_000,
    packetLoss: 0.02,
    jitter: 4,
    latency: 30,
    bufferLevel: 80,
    audioLevel: 0.5,
  });
});
