/**
 * An adaptive jitter buffer: takes pieces of sound whenever they come, gives samples whenever they are wanted.
 *
 * It knows no clock and no thread: time is an argument, in samples of the output's clock. How long sound waits follows the
 * jitter (`arrivals.js`): it is played a little faster or slower until it does (`time-scale.js`). Where sound is missing it
 * is made up (`concealment.js`). Wherever two pieces meet that do not belong together, one is faded over into the other.
 */

import { Arrivals } from "./arrivals.js";
import { Concealment } from "./concealment.js";
import { TimeScale, fade } from "./time-scale.js";

/** Over so long one piece goes over into another. */
const JOINT_MS = 5;
/** Longest piece taken from the queue at once. */
const PIECE_MS = 20;
/** A gap in the stream is filled for so long; what is missing beyond it, is skipped. */
const MOST_FILLED_MS = 60;
/** Sound that is not live is never thrown away before so much waits. */
const MOST_HELD_MS = 60_000;
/** How far the delay may be above its target. */
const SLACK_MS = 15;
/** And below it. */
const SLACK_UNDER_MS = 5;
/** So far off, less alike periods are taken, and more of them. */
const URGENT_MS = 60;
/** What is not live may lag so far behind: nobody hears it. */
const LAG_MS = 1_000;
const ALIKE = 0.85;
const ALIKE_IN_NEED = 0.5;
/** Between two changes so many times their length is left as it is. */
const REST = 9;
const REST_IN_NEED = 3;

/** @typedef {import("./events.js").BufferStats} BufferStats */
/** @typedef {{samples: Float32Array | null, length: number}} Piece Null for what is missing. */

export class JitterBuffer {
  #rate;
  #scale;
  #samples;
  #most;
  #joint;
  #piece;

  /** What was heard last, and what is heard next, between them `#read`. */
  #play;
  #read = 0;
  #end = 0;
  /** @type {Piece[]} */
  #queue = [];
  #queued = 0;
  /** The next piece does not belong to what was there before. */
  #apart = true;
  /** @type {Concealment | null} */
  #concealment = null;

  #frame;
  #live = true;
  #arrivals;
  /** Of the stream, where what was pushed ends. */
  #place = 0;
  /** Seconds into the source, at `#place`. */
  #position = 0;
  /** @type {"idle" | "buffering" | "playing" | "ended"} */
  #state = "idle";
  #ending = false;
  /** When the sound that waits to be begun with came. @type {number | null} */
  #waitsSince = null;
  /** Samples until the delay may be changed again. */
  #rest = 0;

  #played = 0;
  #underruns = 0;
  #concealed = 0;
  #stretched = 0;
  #shortened = 0;
  #dropped = 0;

  /**
   * @param {object} options
   * @param {number} options.sampleRate Hertz.
   * @param {number} [options.firstFrames] Frames to begin with.
   * @param {number} [options.maxMs] Most milliseconds to wait for what is late.
   */
  constructor({ sampleRate, firstFrames = 5, maxMs = 500 }) {
    this.#rate = sampleRate;
    this.#samples = (/** @type {number} */ ms) => Math.round((ms * sampleRate) / 1000);
    this.#scale = new TimeScale(sampleRate);
    this.#most = this.#samples(maxMs);
    this.#joint = this.#samples(JOINT_MS);
    this.#piece = this.#samples(PIECE_MS);
    this.#play = new Float32Array(8 * this.#scale.needed);
    this.#read = this.#end = this.#scale.needed; // before the first sample there was silence
    this.#firstFrames = firstFrames;
    this.#frame = this.#samples(20);
    this.#arrivals = this.#newArrivals();
  }

  #firstFrames;

  #newArrivals() {
    const first = (this.#firstFrames - 1) * this.#frame;
    return new Arrivals({ sampleRate: this.#rate, first, most: this.#most - this.#frame });
  }

  /**
   * Another stream begins.
   *
   * @param {object} stream
   * @param {number} stream.frameMs Length of its packets.
   * @param {boolean} stream.live Whether to keep up with it: what comes too late is then dropped.
   */
  begin({ frameMs, live }) {
    this.clear();
    this.#frame = this.#samples(frameMs);
    this.#live = live;
    this.#arrivals = this.#newArrivals();
    this.#state = "buffering";
  }

  /** @returns {"idle" | "buffering" | "playing" | "ended"} */
  get state() {
    return this.#state;
  }

  /** Samples that wait to be heard. */
  get level() {
    return this.#end - this.#read + this.#queued;
  }

  /** Samples that should be there when a packet has just come. */
  get target() {
    return this.#arrivals.target + this.#frame;
  }

  /** @returns {BufferStats} */
  get stats() {
    const ms = (/** @type {number} */ samples) => (1000 * samples) / this.#rate;
    return {
      level: ms(this.level),
      target: ms(this.target),
      jitter: ms(this.#arrivals.peak),
      position: Math.max(0, this.#position - this.level / this.#rate),
      played: ms(this.#played),
      underruns: this.#underruns,
      concealed: ms(this.#concealed),
      stretched: ms(this.#stretched),
      shortened: ms(this.#shortened),
      dropped: ms(this.#dropped),
    };
  }

  /**
   * @param {Float32Array} samples The next of the stream; they are the buffer's from now on.
   * @param {number} now Samples, when they came.
   * @param {number} [position] Seconds into the source, of the first.
   */
  push(samples, now, position) {
    if (this.#state === "ended") this.#state = "buffering";
    if (this.#state === "idle" || samples.length === 0) return;
    this.#arrivals.arrived(now, this.#place);
    this.#place += samples.length;
    if (position !== undefined) this.#position = position;
    this.#position += samples.length / this.#rate;
    for (let from = 0; from < samples.length; from += this.#piece) {
      const piece = samples.subarray(from, from + this.#piece);
      this.#put({ samples: piece, length: piece.length });
    }
    this.#waitsSince ??= now;
    this.#bound();
  }

  /**
   * Something of the stream is missing, and will not come.
   *
   * @param {number} length Samples.
   */
  skip(length) {
    if (this.#state === "idle" || length <= 0) return;
    this.#place += length;
    this.#position += length / this.#rate;
    // with enough behind it, the hole is closed rather than filled: time went on while it was torn
    const need = Math.max(0, this.target - this.level);
    const filled = Math.floor(Math.min(length, need, this.#samples(MOST_FILLED_MS)));
    this.#put({ samples: null, length: this.#state === "playing" ? filled : 0 });
  }

  /** The stream goes on after its connection was lost: what was late then says nothing of now. */
  rejoin() {
    this.#arrivals.rebase();
  }

  /** Nothing follows: what is there is played to its end. */
  end() {
    if (this.#state !== "idle") this.#ending = true;
  }

  /** Fall silent within 10 ms and forget what waits. The stream may go on. */
  clear() {
    this.#queue = [];
    this.#queued = 0;
    if (this.#state === "playing") {
      // what is heard next, faded
      const length = Math.min(this.#joint, this.#end - this.#read);
      this.#end = this.#read + length;
      if (length < this.#joint) this.#conceal(this.#joint - length);
      for (let i = 0; i < this.#joint; i++) this.#weigh(this.#read + i, 1 - fade(i, this.#joint));
      this.#state = "buffering";
    }
    this.#apart = true;
    this.#concealment = null;
    this.#ending = false;
    this.#waitsSince = null;
    this.#arrivals.rebase();
  }

  /**
   * @param {Float32Array} output Is filled with what is heard next.
   * @param {number} now Samples, when it is heard.
   */
  pull(output, now) {
    if (this.#state === "buffering" && this.#mayBegin(now)) {
      this.#state = "playing";
      this.#waitsSince = null;
    }
    if (this.#state !== "playing") return this.#giveRest(output);
    this.#refill();
    this.#follow(now);
    this.#rest -= output.length;
    let missing = output.length - (this.#end - this.#read);
    if (missing > 0 && this.#ending && this.#queue.length === 0) return this.#finish(output);
    if (missing > 0) {
      if (this.#concealment === null) this.#underruns++;
      this.#concealed += missing;
      this.#conceal(missing);
    }
    this.#give(output, output.length);
    this.#played += output.length;
    if (this.#concealment?.isOver) {
      this.#state = "buffering";
      this.#waitsSince = null;
    }
  }

  // What comes

  /** @param {Piece} piece */
  #put(piece) {
    this.#queue.push(piece);
    this.#queued += piece.length;
  }

  /** Too much waits: the oldest of it goes. */
  #bound() {
    const most = this.#live ? this.#most + this.#frame : this.#samples(MOST_HELD_MS);
    if (this.level <= most) return;
    const keep = this.#live ? this.target : most;
    while (this.level > keep && this.#queue.length > 1) {
      const { samples, length } = /** @type {Piece} */ (this.#queue.shift());
      this.#queued -= length;
      if (samples !== null) this.#dropped += length;
      this.#apart = true;
    }
  }

  /** @param {number} now */
  #mayBegin(now) {
    if (this.#waitsSince === null && this.#queued > 0) this.#waitsSince = now;
    if (this.#ending) return true;
    if (this.#waitsSince === null) return false;
    return this.level >= this.target || now - this.#waitsSince >= this.target;
  }

  // What is played

  /** Have enough at hand for a change of the delay. */
  #refill() {
    while (this.#end - this.#read < 2 * this.#scale.needed && this.#queue.length > 0) {
      const { samples, length } = /** @type {Piece} */ (this.#queue.shift());
      this.#queued -= length;
      if (samples === null) {
        this.#concealed += length;
        this.#conceal(length);
        this.#apart = true;
      } else this.#append(samples);
    }
  }

  /** @param {Float32Array} samples */
  #append(samples) {
    this.#makeRoom(samples.length);
    const start = this.#end;
    this.#play.set(samples, start);
    this.#end += samples.length;
    if (!this.#apart && this.#concealment === null) return;
    const joint = Math.min(this.#joint, samples.length);
    const before = new Float32Array(joint);
    this.#concealment ??= this.#newConcealment(start);
    this.#concealment.fill(before, 0, joint);
    for (let i = 0; i < joint; i++) {
      const weight = fade(i, joint);
      const old = /** @type {number} */ (before[i]);
      this.#play[start + i] = old + weight * (/** @type {number} */ (this.#play[start + i]) - old);
    }
    this.#apart = false;
    this.#concealment = null;
  }

  /** @param {number} length Samples to make up at the end of what is to be played. */
  #conceal(length) {
    this.#makeRoom(length);
    this.#concealment ??= this.#newConcealment(this.#end);
    this.#concealment.fill(this.#play, this.#end, this.#end + length);
    this.#end += length;
  }

  /** @param {number} end Of what is known of the sound. */
  #newConcealment(end) {
    return new Concealment(this.#play, end, this.#rate, this.#scale);
  }

  /**
   * Move all to the front where so much more would not fit, and keep what concealment looks back at.
   *
   * @param {number} length
   */
  #makeRoom(length) {
    if (this.#end + length <= this.#play.length) return;
    const from = this.#read - this.#scale.needed;
    const wanted = this.#end - from + length;
    if (wanted > this.#play.length) {
      const larger = new Float32Array(2 * wanted);
      larger.set(this.#play.subarray(from, this.#end));
      this.#play = larger;
    } else this.#play.copyWithin(0, from, this.#end);
    this.#read -= from;
    this.#end -= from;
  }

  /**
   * @param {number} index
   * @param {number} weight
   */
  #weigh(index, weight) {
    this.#play[index] = weight * /** @type {number} */ (this.#play[index]);
  }

  /**
   * @param {Float32Array} output
   * @param {number} length
   */
  #give(output, length) {
    for (let i = 0; i < length; i++) output[i] = /** @type {number} */ (this.#play[this.#read + i]);
    this.#read += length;
  }

  /** Not playing: what a fade left, then silence. @param {Float32Array} output */
  #giveRest(output) {
    const left = Math.min(output.length, this.#end - this.#read);
    this.#give(output, left);
    if (left === output.length) return;
    output.fill(0, left);
    // that silence is what the next sound follows on
    const silent = output.length - left;
    this.#makeRoom(silent);
    this.#play.fill(0, this.#end, this.#end + silent);
    this.#end += silent;
    this.#read = this.#end;
    if (this.#state === "buffering" && this.#concealment !== null) {
      this.#concealed += silent;
      this.#played += silent;
    }
  }

  /** The last samples, and a fade to silence where they do not end in it. @param {Float32Array} output */
  #finish(output) {
    const left = this.#end - this.#read;
    const tail = Math.min(this.#joint, Math.max(0, output.length - left));
    this.#apart = true;
    this.#concealment ??= this.#newConcealment(this.#end);
    const end = this.#end;
    this.#conceal(tail);
    for (let i = 0; i < tail; i++) this.#weigh(end + i, 1 - fade(i, tail));
    this.#played += left;
    this.#concealment = null;
    this.#ending = false;
    this.#state = "ended";
    this.#giveRest(output);
  }

  // How long it waits

  /** @param {number} now */
  #follow(now) {
    const base = this.#arrivals.base;
    if (base === null || this.#rest > 0 || this.#concealment !== null || this.#ending) return;
    const delay = now - this.#place + this.level - base;
    const off = delay - this.#arrivals.target;
    const slack =
      off < 0
        ? this.#samples(SLACK_UNDER_MS)
        : this.#samples(this.#live ? SLACK_MS : LAG_MS);
    if (Math.abs(off) <= slack) return;
    const need = (this.#live || off < 0) && Math.abs(off) - slack > this.#samples(URGENT_MS);
    const found = this.#scale.find(this.#play.subarray(0, this.#end), this.#read);
    if (found === null) return;
    const { lag, similarity } = found;
    if (similarity < (need ? ALIKE_IN_NEED : ALIKE)) {
      this.#rest = this.#samples(5); // elsewhere it may be more like itself
      return;
    }
    if (off > 0) this.#shorten(lag);
    else this.#stretch(lag);
    this.#rest = lag * (need ? REST_IN_NEED : REST);
  }

  /** @param {number} lag */
  #shorten(lag) {
    const [play, from] = [this.#play, this.#read];
    for (let i = 0; i < lag; i++) {
      const old = /** @type {number} */ (play[from + i]);
      play[from + lag + i] = old + fade(i, lag) * (/** @type {number} */ (play[from + lag + i]) - old);
    }
    // what was heard last stays before what is heard next
    play.copyWithin(lag, 0, from);
    this.#read += lag;
    this.#shortened += lag;
  }

  /** @param {number} lag */
  #stretch(lag) {
    this.#makeRoom(lag);
    const [play, from] = [this.#play, this.#read];
    play.copyWithin(from + lag, from, this.#end);
    this.#end += lag;
    // the first period, then the second going over into the first, then the second
    for (let i = 0; i < lag; i++) {
      const again = /** @type {number} */ (play[from + lag + i]);
      const ahead = /** @type {number} */ (play[from + 2 * lag + i]);
      play[from + lag + i] = ahead + fade(i, lag) * (again - ahead);
    }
    this.#stretched += lag;
  }
}
