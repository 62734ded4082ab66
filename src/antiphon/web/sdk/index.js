/**
 * Everything that the SDK offers; each part can be had from its own module too.
 *
 *     import { AudioCapture, AudioStreamManager } from "@antiphon/client"; // or "/static/sdk/index.js" of a server
 */

export { AdaptiveBitrateController } from "./adaptive-bitrate.js";
export { AudioCapture } from "./audio-capture.js";
export { AudioStreamManager } from "./audio-stream-manager.js";
export { ConnectionCheck, verdict } from "./connection-check.js";
export { RtcError } from "./errors.js";
export { SegmentRecorder } from "./segment-recorder.js";
export { SocketSignaling } from "./signaling.js";
export { StreamAnalytics } from "./stream-analytics.js";
export { StreamPlayer } from "./stream-player.js";
export { SERVER, WebRTCManager } from "./webrtc-manager.js";
