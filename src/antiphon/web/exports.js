/**
 * A transcript as a file: plain text, SubRip, WebVTT or JSON.
 */

/** @typedef {import("./transcript.js").Line} Line */
/** @typedef {import("./sdk/results.js").Word} Word */
/** @typedef {"txt" | "srt" | "vtt" | "json"} ExportFormat */

/**
 * @typedef {object} Cue
 * @property {string} text
 * @property {number} start Seconds.
 * @property {number} end Seconds.
 */

const LINE_CHARACTERS = 42;
const CUE_CHARACTERS = 2 * LINE_CHARACTERS;
const CUE_SECONDS = 6;
const SHORTEST_CUE_SECONDS = 0.5;

/**
 * @param {number} value
 * @param {number} width
 */
const padded = (value, width) => String(value).padStart(width, "0");

/**
 * For reading: `0:07`, `12:40`, `1:02:03`.
 *
 * @param {number} seconds
 */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = `${padded(whole % 60, 2)}`;
  return hours > 0 ? `${hours}:${padded(minutes, 2)}:${tail}` : `${minutes}:${tail}`;
}

/**
 * For subtitles: `00:00:07,250`.
 *
 * @param {number} seconds
 * @param {"," | "."} mark What stands before the milliseconds.
 */
export function cueTime(seconds, mark) {
  const total = Math.max(0, Math.round(seconds * 1000));
  const whole = Math.floor(total / 1000);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${parts.map((part) => padded(part, 2)).join(":")}${mark}${padded(total % 1000, 3)}`;
}

/**
 * Words as the engine timed them; without times, spread over the line by their length.
 *
 * @param {Line} line
 * @returns {Cue[]} One for each word of the text.
 */
function timedWords(line) {
  if (line.words.length > 0) {
    return line.words.map(({ word, start, end }) => ({ text: word, start, end }));
  }
  const words = line.text.split(/\s+/).filter((word) => word !== "");
  const characters = words.reduce((sum, word) => sum + word.length + 1, 0);
  let start = line.start;
  return words.map((word) => {
    const end = start + ((line.end - line.start) * (word.length + 1)) / characters;
    const cue = { text: word, start, end };
    start = end;
    return cue;
  });
}

/**
 * Cut lines into cues of at most two rows of 42 characters and 6 seconds.
 *
 * @param {readonly Line[]} lines
 * @returns {Cue[]}
 */
export function cues(lines) {
  /** @type {Cue[]} */
  const all = [];
  for (const line of lines) {
    /** @type {Cue | null} */
    let open = null;
    for (const word of timedWords(line)) {
      const text = open === null ? word.text : `${open.text} ${word.text}`;
      if (open !== null && text.length <= CUE_CHARACTERS && word.end - open.start <= CUE_SECONDS) {
        open.text = text;
        open.end = word.end;
      } else {
        open = { ...word };
        all.push(open);
      }
    }
  }
  return all.map((cue, i) => {
    const next = all[i + 1]?.start ?? Infinity;
    const longest = Math.max(cue.end, cue.start + SHORTEST_CUE_SECONDS);
    return { ...cue, end: next > cue.start ? Math.min(longest, next) : longest };
  });
}

/**
 * Break into rows of at most 42 characters where words allow it.
 *
 * @param {string} text
 */
function rows(text) {
  /** @type {string[]} */
  const done = [];
  let row = "";
  for (const word of text.split(" ")) {
    if (row !== "" && row.length + 1 + word.length > LINE_CHARACTERS) {
      done.push(row);
      row = word;
    } else {
      row = row === "" ? word : `${row} ${word}`;
    }
  }
  return [...done, row].join("\n");
}

/** @param {readonly Line[]} lines */
export function toText(lines) {
  return lines.map((line) => `[${clockTime(line.start)}] ${line.text}\n`).join("");
}

/** @param {readonly Line[]} lines */
export function toSrt(lines) {
  return cues(lines)
    .map((cue, i) => `${i + 1}\n${cueTime(cue.start, ",")} --> ${cueTime(cue.end, ",")}\n${rows(cue.text)}\n\n`)
    .join("");
}

/** @param {readonly Line[]} lines */
export function toVtt(lines) {
  const escaped = (/** @type {string} */ text) =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const body = cues(lines).map(
    (cue) => `${cueTime(cue.start, ".")} --> ${cueTime(cue.end, ".")}\n${escaped(rows(cue.text))}\n\n`,
  );
  return `WEBVTT\n\n${body.join("")}`;
}

/** @param {readonly Line[]} lines */
export function toJson(lines) {
  const results = lines.map(({ text, start, end, language, speaker, words }) => ({
    text,
    start,
    end,
    language,
    speaker,
    words,
  }));
  return `${JSON.stringify({ text: lines.map((line) => line.text).join("\n"), results }, null, 2)}\n`;
}

/** @type {Readonly<Record<ExportFormat, {mime: string, write: (lines: readonly Line[]) => string}>>} */
export const EXPORTS = {
  txt: { mime: "text/plain;charset=utf-8", write: toText },
  srt: { mime: "application/x-subrip;charset=utf-8", write: toSrt },
  vtt: { mime: "text/vtt;charset=utf-8", write: toVtt },
  json: { mime: "application/json", write: toJson },
};
