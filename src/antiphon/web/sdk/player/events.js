/**
 * What a player tells, and what it counts.
 */

/** @typedef {import("../errors.js").RtcError} RtcError */

/**
 * `new` → `listen()` or `open()` → `connecting` → `buffering` → `playing`; `buffering` again where the sound runs out, and
 * `reconnecting` while there is no connection (what is buffered plays on). `blocked`: the browser wants a click, see
 * `unblock()`. `ended` and `failed` end one stream, after which `listen()` or `open()` begin another.
 *
 * @typedef {"new" | "blocked" | "connecting" | "buffering" | "playing" | "paused" | "reconnecting" | "ended" | "failed"
 *   | "closed"} PlayerState
 */

/**
 * What `/ws-audio` said that it sends.
 *
 * @typedef {object} Started
 * @property {string} source
 * @property {"opus"} codec
 * @property {number} sampleRate Hertz.
 * @property {number} frameMs
 * @property {number} bitrate Bits a second.
 * @property {boolean} live Whether there is a now to keep up with: a room has one, a file has none.
 * @property {number | null} duration Seconds; null where nobody knows.
 * @property {number} position Seconds.
 */

/**
 * @typedef {object} BufferStats By the audio thread; times in milliseconds, counts in milliseconds of sound.
 * @property {number} level What is buffered now.
 * @property {number} target What should be, by the jitter of late.
 * @property {number} jitter How late the latest packet of the last seconds was, behind the quickest.
 * @property {number} position Seconds into the source of what is heard now.
 * @property {number} played
 * @property {number} underruns How often the sound ran out.
 * @property {number} concealed Made up where sound was missing, silence among it.
 * @property {number} stretched Added by playing more slowly.
 * @property {number} shortened Taken out by playing faster.
 * @property {number} dropped Thrown away, to catch up with what is live.
 */

/**
 * @typedef {object} LinkStats By the worker.
 * @property {number} packets
 * @property {number} bytes
 * @property {number} bitrate Bits that came in the last second.
 * @property {number} bad Packets that could not be decoded.
 * @property {number} lost Packets that the server dropped because this side did not keep up.
 * @property {number} reconnects
 * @property {number | null} roundTrip Milliseconds; null before the first answer.
 * @property {"webcodecs" | "wasm" | "pcm" | ""} decoder Which decodes; "" before the first sound.
 */

/**
 * @typedef {BufferStats & LinkStats & {latency: number, outputLatency: number}} PlayerStats `latency`: milliseconds from a
 *   packet's arrival to the loudspeaker, `outputLatency` (the system's part of it) included.
 */

/**
 * The events, each with the `detail` of its `CustomEvent`.
 *
 * @typedef {object} PlayerEvents
 * @property {{state: PlayerState}} state
 * @property {Started} started Of `listen()`, after each connecting.
 * @property {{reason: string}} ended Everything was heard: `complete`, or why the server ended it.
 * @property {{packets: number, total: number}} dropped The server dropped what this side did not take.
 * @property {{}} cleared By `clear()` or by the server (barge-in).
 * @property {{attempt: number, delay: number}} reconnecting `delay` in milliseconds until the attempt.
 * @property {{}} connected
 * @property {{bitrate: number}} bitrate-change
 * @property {{id: number, text: string}} saying Of a source `say:`.
 * @property {{id: number}} said
 * @property {{error: RtcError}} failed For good.
 * @property {{error: RtcError}} error What went wrong and is seen to, or cannot be.
 * @property {PlayerStats} stats About thirty times a second while the audio thread runs.
 */

export {};
