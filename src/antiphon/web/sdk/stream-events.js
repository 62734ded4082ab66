/**
 * What an `AudioStreamManager` tells.
 */

/** @typedef {import("./audio-format.js").AudioFormat} AudioFormat */
/** @typedef {import("./errors.js").RtcError} RtcError */
/** @typedef {import("./results.js").Result} Result */

/**
 * Why a stream is over: `left` all was said, `abandoned` without waiting for the last words, `unconfirmed` the server
 * never confirmed them, `refused` the server would not have it, `closed` the server ended it, `unreachable` no connection for five
 * minutes.
 *
 * @typedef {"left" | "abandoned" | "unconfirmed" | "refused" | "closed" | "unreachable"} EndReason
 */

/**
 * @typedef {{phase: "idle"}
 *   | {phase: "connecting", again: boolean}
 *   | {phase: "live"}
 *   | {phase: "waiting", retryAt: number}
 *   | {phase: "finishing", retryAt: number | null}
 *   | {phase: "ended", reason: EndReason, error: RtcError | null}} StreamState `retryAt` is a time of `Timers.now`,
 *   null while there is a connection.
 */

/**
 * @typedef {object} StreamConditions What the way to the server was like since the last look.
 * @property {number | null} roundTrip Milliseconds: the longest since the last look, that of a ping which is still away among
 *   them; null before anything is known.
 * @property {number} loss Share of the frames that never came, either way, 0 to 1.
 * @property {number} jitter Milliseconds, as the server measured it of what is sent; 0 where it did not.
 * @property {number} sent Bits a second.
 * @property {number} received Bits a second, of reply audio.
 * @property {number} waiting Milliseconds of sound that wait to be sent.
 * @property {number} unacknowledged Milliseconds of sound that were sent and are not safe with the server yet.
 * @property {number} lost Frames that were dropped unsent, from the beginning.
 * @property {number} dropped Frames of reply audio that the server dropped since this side was too slow, from the beginning.
 * @property {number} buffered Bytes that wait in the socket.
 */

/**
 * The events, each with the `detail` of its `CustomEvent`.
 *
 * @typedef {object} StreamEvents
 * @property {{state: StreamState}} state
 * @property {{sessionId: string, participantId: string, resumed: boolean}} joined
 * @property {{offset: number, fresh: boolean}} take Precedes the results of each session: seconds into all that was sent
 *   at which it begins. Not `fresh`: the server had forgotten the one before.
 * @property {Result & {eventId: number | null, own: boolean, user: string}} transcript Each once. `own`: this stream was
 *   heard saying it.
 * @property {{participantId: string, active: boolean, own: boolean}} speaking
 * @property {{seconds: number, frames: number, total: number}} lost Sound that the server never got: the connection was
 *   away for longer than is kept.
 * @property {{frame: Uint8Array, format: AudioFormat}} audio Of the reply; the player has it too.
 * @property {{}} clear What waits to be played should be dropped; the player was told.
 * @property {{packets: number, total: number}} dropped Frames of the reply that the server dropped, since this side is slow.
 * @property {{milliseconds: number}} round-trip
 * @property {{bitrate: number}} bitrate-change The server asks that no more bits a second than these are sent.
 * @property {{message: Record<string, unknown> & {type: string}}} message What else the server says, such as of a room.
 * @property {{error: RtcError}} error What went wrong and is seen to, or cannot be.
 */

export {};
