//! Frames that are made once and read by many.

use std::{collections::VecDeque, ops::Range};

/// Packets that are kept, and forgotten, together.
const PER_SEGMENT: usize = 64;

#[derive(Debug, Default)]
struct Segment {
    frames: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<u32>,
}

/// A growing list of frames, each with a number that it keeps. The oldest can be forgotten.
#[derive(Debug)]
pub struct Tape {
    segments: VecDeque<Segment>,
    /// Number of the oldest frame that is kept, which is the first of its segment.
    head: u64,
    end: u64,
    bytes: usize,
}

impl Tape {
    /// An empty tape; the first frame will have the number `first`.
    pub fn new(first: u64) -> Self {
        Self { segments: VecDeque::new(), head: first, end: first, bytes: 0 }
    }

    /// Number of the oldest frame that is kept.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Number that the next frame will have.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a frame, at most 4 GiB / 64 long.
    pub fn push(&mut self, frame: &[u8]) {
        debug_assert!(frame.len() <= u32::MAX as usize / PER_SEGMENT);
        if self.segments.back().is_none_or(|segment| segment.ends.len() == PER_SEGMENT) {
            // as long as the one before, most likely
            let room = self.segments.back().map_or(0, |segment| segment.frames.len());
            let frames = Vec::with_capacity(room);
            self.segments.push_back(Segment { frames, ends: Vec::with_capacity(PER_SEGMENT) });
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.frames.extend_from_slice(frame);
            segment.ends.push(segment.frames.len() as u32);
            self.end += 1;
            self.bytes += frame.len();
        }
    }

    /// Frames of that range that lie together, from its start on: at least one. None where the first is not kept.
    pub fn run(&self, range: Range<u64>) -> Option<Run<'_>> {
        if range.is_empty() || range.start < self.head || range.start >= self.end {
            return None;
        }
        let index = (range.start - self.head) as usize;
        let segment = self.segments.get(index / PER_SEGMENT)?;
        let first = index % PER_SEGMENT;
        let wanted = (range.end - range.start).min(PER_SEGMENT as u64) as usize;
        let ends = &segment.ends[first..segment.ends.len().min(first + wanted)];
        let start = if first == 0 { 0 } else { segment.ends[first - 1] };
        let last = *ends.last()?;
        Some(Run { bytes: &segment.frames[start as usize..last as usize], start, ends })
    }

    /// Bytes of the frames before `end`, at most the `most` last ones of them, as far as they are kept.
    pub fn bytes_before(&self, end: u64, most: u64) -> usize {
        let end = end.clamp(self.head, self.end);
        let mut next = end.saturating_sub(most).max(self.head);
        let mut bytes = 0;
        while let Some(run) = self.run(next..end) {
            bytes += run.bytes.len();
            next += run.frames();
        }
        bytes
    }

    /// Forgets the oldest frames, some at once, as long as `unwanted` says so of the number after the last of them and
    /// the bytes that are kept with them. The newest are kept in any case.
    pub fn forget(&mut self, unwanted: impl Fn(u64, usize) -> bool) {
        while self.segments.len() > 1 && unwanted(self.head + PER_SEGMENT as u64, self.bytes) {
            if let Some(segment) = self.segments.pop_front() {
                self.head += segment.ends.len() as u64;
                self.bytes -= segment.frames.len();
            }
        }
    }
}

/// Frames that lie together.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// All of them.
    pub bytes: &'a [u8],
    start: u32,
    ends: &'a [u32],
}

impl<'a> Run<'a> {
    /// How many there are.
    pub fn frames(&self) -> u64 {
        self.ends.len() as u64
    }

    /// How many have begun where so many bytes were written, and what is left of the last of those.
    pub fn cut(&self, written: usize) -> (u64, &'a [u8]) {
        let whole = self.ends.partition_point(|end| (end - self.start) as usize <= written);
        let done = if whole == 0 { 0 } else { (self.ends[whole - 1] - self.start) as usize };
        if done == written {
            return (whole as u64, &[]);
        }
        (whole as u64 + 1, &self.bytes[written..(self.ends[whole] - self.start) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(frames: &[&[u8]]) -> Tape {
        let mut tape = Tape::new(10);
        for frame in frames {
            tape.push(frame);
        }
        tape
    }

    #[test]
    fn frames_that_lie_together_are_read_together() {
        let tape = tape(&[b"one", b"two", b"three"]);
        assert_eq!((tape.head(), tape.end(), tape.bytes()), (10, 13, 11));
        let run = tape.run(11..99).unwrap();
        assert_eq!((run.bytes, run.frames()), (&b"twothree"[..], 2));
        assert_eq!(tape.run(10..11).unwrap().bytes, b"one");
        assert!(tape.run(9..11).is_none() && tape.run(13..14).is_none() && tape.run(11..11).is_none());
    }

    #[test]
    fn a_run_is_cut_where_writing_stopped() {
        let tape = tape(&[b"one", b"two", b"three"]);
        let run = tape.run(11..13).unwrap();
        assert_eq!(run.cut(0), (0, &b""[..]));
        assert_eq!(run.cut(1), (1, &b"wo"[..]));
        assert_eq!(run.cut(3), (1, &b""[..]));
        assert_eq!(run.cut(4), (2, &b"hree"[..]));
        assert_eq!(run.cut(8), (2, &b""[..]));
    }

    #[test]
    fn the_oldest_frames_are_forgotten_and_the_others_keep_their_numbers() {
        let mut tape = Tape::new(0);
        for number in 0..200_u8 {
            tape.push(&[number]);
        }
        tape.forget(|after, _| after <= 100);
        assert_eq!((tape.head(), tape.end(), tape.bytes()), (64, 200, 136));
        assert!(tape.run(63..64).is_none());
        assert_eq!(tape.run(64..65).unwrap().bytes, [64]);
        assert_eq!(tape.run(130..300).unwrap().bytes.len(), 62);
        assert_eq!((tape.bytes_before(130, 70), tape.bytes_before(999, 5), tape.bytes_before(3, 3)), (66, 5, 0));
        tape.forget(|_, bytes| bytes > 1);
        assert_eq!((tape.head(), tape.bytes()), (192, 8));
    }
}
