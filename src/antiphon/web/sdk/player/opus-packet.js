/**
 * What an Opus packet says of itself (RFC 6716, section 3.1).
 */

/** Milliseconds of a frame, by the configuration in the first byte. */
const FRAME_MS = [
  ...[10, 20, 40, 60, 10, 20, 40, 60, 10, 20, 40, 60], // SILK
  ...[10, 20, 10, 20], // hybrid
  ...[2.5, 5, 10, 20, 2.5, 5, 10, 20, 2.5, 5, 10, 20, 2.5, 5, 10, 20], // CELT
];
const MOST_MS = 120;

/**
 * @param {Uint8Array} packet
 * @returns {number | null} Milliseconds of sound in it; null for what is no Opus packet.
 */
export function packetDuration(packet) {
  const [first, second] = packet;
  if (first === undefined) return null;
  const frame = /** @type {number} */ (FRAME_MS[first >> 3]);
  const code = first & 3;
  const frames = code === 0 ? 1 : code < 3 ? 2 : second === undefined ? 0 : second & 63;
  const duration = frames * frame;
  return frames === 0 || duration > MOST_MS ? null : duration;
}
