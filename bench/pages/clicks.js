/**
 * When clicks of a track pass, in milliseconds of the clock that all pages of a browser share.
 */

const THRESHOLD = 0.25;
/** No second click within so long. */
const APART_MS = 250;

/**
 * Note each click from now on.
 *
 * @param {MediaStreamTrack} track
 * @param {"captured" | "played"} kind Audio that was captured is handed over after its last sample; audio to be played,
 *   before its first.
 * @param {number[]} times Where the times are added.
 */
export async function watch(track, kind, times) {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const now = performance.timeOrigin + performance.now();
    const samples = new Float32Array(value.numberOfFrames);
    value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    const at = samples.findIndex((sample) => Math.abs(sample) > THRESHOLD);
    if (at >= 0) {
      const from = kind === "captured" ? at - value.numberOfFrames : at;
      const time = now + (1000 * from) / value.sampleRate;
      if (times.length === 0 || time - times[times.length - 1] > APART_MS) times.push(time);
    }
    value.close();
  }
}
