/**
 * A whole WebM file with one track of Opus (RFC 9559 for the elements, RFC 7845 for the head of the codec).
 */

const TRACK = 1;
const AUDIO = 2;
const KEY_FRAME = 0x80;
/** A block's time is counted from its cluster's, in 16 bits of milliseconds. */
const CLUSTER_MS = 10_000;
const SEEK_PRE_ROLL_NS = 80_000_000;
/** Opus counts at this rate whatever the sound was sampled at. */
const CLOCK = 48_000;
const NS_PER_SAMPLE = 1e9 / CLOCK;

/**
 * @typedef {object} OpusFile
 * @property {readonly Uint8Array[]} packets
 * @property {number} frameMs Of each packet, in whole milliseconds.
 * @property {number} channels
 * @property {number} sampleRate Of what was encoded, in hertz; only told.
 * @property {number} skip Samples at 48 kHz that a decoder drops at the beginning.
 * @property {number} discard Samples at 48 kHz that it drops at the end, less than a packet has.
 */

/**
 * @param {OpusFile} file
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function webmFile({ packets, frameMs, channels, sampleRate, skip, discard }) {
  const track = element(0xae, [
    element(0xd7, unsigned(TRACK)),
    element(0x73c5, unsigned(TRACK)),
    element(0x83, unsigned(AUDIO)),
    element(0x9c, unsigned(0)), // no lacing
    element(0x86, ascii("A_OPUS")),
    element(0x56aa, unsigned(Math.round(skip * NS_PER_SAMPLE))),
    element(0x56bb, unsigned(SEEK_PRE_ROLL_NS)),
    element(0x63a2, opusHead({ channels, sampleRate, skip })),
    element(0xe1, [element(0xb5, double(CLOCK)), element(0x9f, unsigned(channels))]),
  ]);
  const milliseconds = packets.length * frameMs - ((skip + discard) * 1000) / CLOCK;
  const info = [
    element(0x2ad7b1, unsigned(1_000_000)), // times are in milliseconds
    element(0x4489, double(milliseconds)),
    element(0x4d80, ascii("Antiphon")),
    element(0x5741, ascii("Antiphon")),
  ];
  return join([
    element(0x1a45dfa3, [
      element(0x4286, unsigned(1)),
      element(0x42f7, unsigned(1)),
      element(0x42f2, unsigned(4)),
      element(0x42f3, unsigned(8)),
      element(0x4282, ascii("webm")),
      element(0x4287, unsigned(4)),
      element(0x4285, unsigned(2)),
    ]),
    element(0x18538067, [
      element(0x1549a966, info),
      element(0x1654ae6b, [track]),
      ...clusters(packets, frameMs, discard),
    ]),
  ]);
}

/**
 * @param {readonly Uint8Array[]} packets
 * @param {number} frameMs
 * @param {number} discard
 */
function clusters(packets, frameMs, discard) {
  const perCluster = Math.floor(CLUSTER_MS / frameMs);
  const all = [];
  for (let first = 0; first < packets.length; first += perCluster) {
    const blocks = packets.slice(first, first + perCluster).map((packet, i) => {
      const isLast = first + i === packets.length - 1;
      if (!isLast || discard === 0) return element(0xa3, block(packet, i * frameMs, KEY_FRAME));
      return element(0xa0, [
        element(0xa1, block(packet, i * frameMs, 0)),
        element(0x75a2, signed(Math.round(discard * NS_PER_SAMPLE))),
      ]);
    });
    all.push(element(0x1f43b675, [element(0xe7, unsigned(first * frameMs)), ...blocks]));
  }
  return all;
}

/**
 * @param {Uint8Array} packet
 * @param {number} at Milliseconds from the cluster's time.
 * @param {number} flags
 */
function block(packet, at, flags) {
  const bytes = new Uint8Array(4 + packet.length);
  bytes.set([0x80 | TRACK, at >> 8, at & 0xff, flags]);
  bytes.set(packet, 4);
  return bytes;
}

/** @param {{channels: number, sampleRate: number, skip: number}} fields */
function opusHead({ channels, sampleRate, skip }) {
  const bytes = new Uint8Array(19);
  bytes.set(ascii("OpusHead"));
  const view = new DataView(bytes.buffer);
  view.setUint8(8, 1); // version
  view.setUint8(9, channels);
  view.setUint16(10, skip, true);
  view.setUint32(12, sampleRate, true);
  return bytes;
}

/**
 * @param {number} id With its length marker.
 * @param {Uint8Array | readonly Uint8Array[]} content
 */
function element(id, content) {
  const body = content instanceof Uint8Array ? content : join(content);
  return join([unsigned(id), size(body.length), body]);
}

/** A size in eight bytes, the first of which says so. @param {number} length */
function size(length) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length));
  bytes[0] = 0x01;
  return bytes;
}

/** Big-endian, in as few bytes as it takes. @param {number} value */
function unsigned(value) {
  const bytes = [value % 256];
  for (let rest = Math.floor(value / 256); rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from(bytes);
}

/** Of a value that is not negative: its first bit has to be 0. @param {number} value */
function signed(value) {
  const bytes = unsigned(value);
  return /** @type {number} */ (bytes[0]) < 0x80 ? bytes : join([Uint8Array.of(0), bytes]);
}

/** @param {number} value */
function double(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

/** @param {string} text */
const ascii = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** @param {readonly Uint8Array[]} parts */
function join(parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
