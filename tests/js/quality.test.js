import assert from "node:assert/strict";
import { test } from "node:test";

import { SpeakingDetector } from "../../src/antiphon/web/sdk/levels.js";
import { QualityMeter } from "../../src/antiphon/web/sdk/quality.js";

/** @param {Record<string, object>} [changes] @returns {[string, any][]} */
function report(changes = {}) {
  const entries = [
    { id: "T", type: "transport", selectedCandidatePairId: "P" },
    { id: "P", type: "candidate-pair", currentRoundTripTime: 0.04, localCandidateId: "L", remoteCandidateId: "R" },
    { id: "L", type: "local-candidate", candidateType: "host", protocol: "udp" },
    { id: "R", type: "remote-candidate", candidateType: "host", protocol: "udp" },
    {
      id: "I",
      type: "inbound-rtp",
      packetsReceived: 100,
      packetsLost: 0,
      bytesReceived: 10_000,
      jitter: 0.004,
      totalSamplesReceived: 96_000,
      concealedSamples: 0,
      silentConcealedSamples: 0,
    },
    { id: "O", type: "outbound-rtp", bytesSent: 20_000 },
    { id: "M", type: "remote-inbound-rtp", fractionLost: 0, roundTripTime: 0.05 },
  ];
  return entries.map((entry) => [entry.id, { timestamp: 1_000, ...entry, ...changes[entry.id] }]);
}

test("the first look tells what it can, the second what has changed", () => {
  const meter = new QualityMeter();
  const first = meter.look(report());
  assert.equal(first.roundTrip, 40);
  assert.equal(first.jitter, 4);
  assert.equal(first.lossIn, null);
  assert.equal(first.bitrateIn, null);
  assert.deepEqual([first.route, first.protocol, first.grade], ["direct", "udp", "good"]);

  const second = meter.look(
    report({
      I: {
        timestamp: 3_000,
        packetsReceived: 190,
        packetsLost: 10,
        bytesReceived: 18_000,
        totalSamplesReceived: 192_000,
        concealedSamples: 11_600,
        silentConcealedSamples: 2_000,
      },
      O: { timestamp: 3_000, bytesSent: 28_000 },
    }),
  );
  assert.equal(second.lossIn, 0.1);
  assert.equal(second.concealed, 0.1);
  assert.equal(second.bitrateIn, 32_000);
  assert.equal(second.bitrateOut, 32_000);
  assert.equal(second.grade, "poor");
});

test("a way over TURN is told with what leads to it", () => {
  const { route, protocol } = new QualityMeter().look(
    report({ L: { candidateType: "relay", protocol: "udp", relayProtocol: "tls" } }),
  );
  assert.deepEqual([route, protocol], ["relay", "tls"]);
  assert.equal(new QualityMeter().look(report({ R: { candidateType: "relay" } })).route, "relay");
});

test("delay, jitter and loss each make it worse", () => {
  const grade = (/** @type {Record<string, object>} */ changes) => new QualityMeter().look(report(changes)).grade;
  assert.equal(grade({ P: { currentRoundTripTime: 0.4 } }), "fair");
  assert.equal(grade({ P: { currentRoundTripTime: 1 } }), "poor");
  assert.equal(grade({ I: { jitter: 0.05 } }), "fair");
  assert.equal(grade({ M: { fractionLost: 0.3 } }), "poor");
});

test("where nothing is known nothing is told", () => {
  const quality = new QualityMeter().look([]);
  assert.ok(Object.values(quality).every((value) => value === null));
});

test("somebody speaks while it is loud twice in a row, and for a moment after", () => {
  const detector = new SpeakingDetector();
  assert.equal(detector.look(0.1, 0), false); // a click
  assert.equal(detector.look(0, 100), false);
  assert.equal(detector.look(0.1, 200), false);
  assert.equal(detector.look(0.1, 300), true);
  assert.equal(detector.look(0, 800), true);
  assert.equal(detector.look(0, 900), false);
});
