/**
 * What sound looks like on the wire, and who takes it.
 */

/**
 * @typedef {"pcm_s16le" | "opus" | "webm" | "ogg"} Codec `opus` is one packet a message; `webm` and `ogg` are a byte
 *   stream that is cut anywhere.
 */

/**
 * @typedef {object} AudioFormat
 * @property {Codec} codec
 * @property {number} sampleRate Hertz.
 * @property {number} channels
 * @property {number} frameMs How long a frame is, in milliseconds; of a container, about how much a chunk holds.
 */

/**
 * What plays sound that comes: a `StreamPlayer`, or anything else with these. Frames come as they come from the network;
 * what is late is the sink's to see to.
 *
 * @typedef {object} AudioSink
 * @property {(format: {codec: "opus" | "pcm_s16le", sampleRate: number, channels: number, frameMs: number}) => unknown} open
 *   What follows, before the first frame and where it changes. What a promise of it is rejected with is told as an `error`.
 * @property {(frame: Uint8Array, more: {missing: number}) => unknown} push One Opus packet, or PCM; `missing` frames before
 *   it will never come.
 * @property {() => unknown} clear Drop what waits to be played: somebody interrupts.
 */

/** A decoder needs the packets of this long before what it is to decode rightly (RFC 7845, section 4.2), in milliseconds. */
export const OPUS_PRE_ROLL_MS = 80;

/**
 * @param {AudioFormat} format
 * @returns {number} Samples of a frame, of one channel.
 */
export const frameSamples = ({ sampleRate, frameMs }) => Math.round((sampleRate * frameMs) / 1000);

/**
 * How many bytes a frame may have (RFC 6716, section 3.2.1 for Opus: 1275 bytes for each 20 ms).
 *
 * @param {AudioFormat} format
 */
export function largestFrame(format) {
  if (format.codec === "pcm_s16le") return 2 * format.channels * frameSamples(format);
  return format.codec === "opus" ? 1275 * Math.ceil(format.frameMs / 20) + 2 : 16 * 1024;
}

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * @param {Int16Array} samples
 * @returns {Uint8Array<ArrayBuffer>} A view of them where the machine is little-endian; else a copy.
 */
export function littleEndian(samples) {
  const buffer = /** @type {ArrayBuffer} */ (samples.buffer);
  const bytes = new Uint8Array(buffer, samples.byteOffset, samples.byteLength);
  if (HOST_IS_LITTLE_ENDIAN) return bytes;
  const swapped = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += 2) {
    swapped[i] = /** @type {number} */ (bytes[i + 1]);
    swapped[i + 1] = /** @type {number} */ (bytes[i]);
  }
  return swapped;
}
