/**
 * What a manager tells.
 */

/** @typedef {import("./roster.js").RoomMember} RoomMember */
/** @typedef {import("./roster.js").RoomTranscript} RoomTranscript */
/** @typedef {import("./errors.js").RtcError} RtcError */

/**
 * `new` → `initialize()` → `ready` → `join()` → `joining`, `connecting`, `connected`, `reconnecting` as it goes; `failed`
 * is not tried again; `leave()` → `ready`; `close()` → `closed`.
 *
 * @typedef {"new" | "ready" | "joining" | "connecting" | "connected" | "reconnecting" | "failed" | "closed"} ManagerState
 */

/**
 * The events, each with the `detail` of its `CustomEvent`. `peer` is a participant's id, or `server`.
 *
 * @typedef {object} ManagerEvents
 * @property {{state: ManagerState}} state
 * @property {{peer: string}} connected
 * @property {{peer: string}} disconnected Nothing comes through; it is seen to.
 * @property {{peer: string, by: "ice-restart" | "new-offer" | "signaling", attempt: number, delay: number}} reconnecting
 *   `delay` in milliseconds until the attempt.
 * @property {{peer: string, error: RtcError}} failed For good.
 * @property {{peer: string, mid: string, track: MediaStreamTrack, stream: MediaStream, participantId: string | null}}
 *   track Sound to play. From the media server, `slots` tells whom a track carries, which changes.
 * @property {{room: string, mode: string, captions: string | null, participants: RoomMember[]}} room
 * @property {RoomMember} peer-joined
 * @property {RoomMember} peer-left
 * @property {{participantId: string, muted: boolean}} peer-muted
 * @property {{participantId: string, active: boolean}} speaking
 * @property {{slots: Map<string, string>}} slots By `mid`, the participant that m-line carries now.
 * @property {RoomTranscript} transcript Each once, partials in order.
 * @property {{peer: string, data: Record<string, unknown>}} message Of the metadata channel, beside those above.
 * @property {{bitrate: number}} bitrate-change The server asks that no more bits a second than these are sent, for somebody
 *   who listens; it is seen to.
 * @property {{muted: boolean}} muted This side's microphone, by `mute()` and `unmute()`.
 * @property {{active: boolean}} held The system holds the microphone's sound back, or gives it again.
 * @property {{}} ended The microphone was unplugged; see `changeMicrophone()`.
 * @property {{peer: string | null, error: RtcError}} error What went wrong and is seen to, or cannot be.
 */

export {};
