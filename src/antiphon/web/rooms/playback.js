/**
 * Plays what the others say.
 */

export class Playback {
  /** @type {Map<MediaStreamTrack, HTMLAudioElement>} */
  #players = new Map();
  #blocked;

  /** @param {(blocked: boolean) => void} blocked The browser wants a click before it plays, or has had it. */
  constructor(blocked) {
    this.#blocked = blocked;
  }

  /** @param {MediaStreamTrack} track */
  play(track) {
    const player = new Audio();
    // a stream for each track: an element plays no more than one audio track of a stream
    player.srcObject = new MediaStream([track]);
    this.#players.set(track, player);
    track.addEventListener("ended", () => this.#drop(track));
    void this.#start(player);
  }

  /** After a click. */
  async unblock() {
    await Promise.all([...this.#players.values()].map((player) => this.#start(player)));
  }

  /** Whatever came from connections that are no more goes. */
  prune() {
    for (const track of [...this.#players.keys()]) if (track.readyState === "ended") this.#drop(track);
  }

  stop() {
    for (const track of [...this.#players.keys()]) this.#drop(track);
    this.#blocked(false);
  }

  /** @param {HTMLAudioElement} player */
  async #start(player) {
    try {
      await player.play();
      this.#blocked(false);
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#blocked(true);
    }
  }

  /** @param {MediaStreamTrack} track */
  #drop(track) {
    const player = this.#players.get(track);
    if (player === undefined) return;
    player.pause();
    player.srcObject = null;
    this.#players.delete(track);
  }
}
