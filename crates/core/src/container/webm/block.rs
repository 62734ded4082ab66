//! Blocks and how frames are laced into them (RFC 9559 §10).

use std::ops::Range;

use super::id;
use crate::container::ebml::{Children, Read, integer, signed, signed_content};

/// The head of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockHead {
    pub(super) track: u64,
    /// Ticks from the cluster's timestamp.
    pub(super) time: i16,
    pub(super) keyframe: bool,
    lacing: Lacing,
    pub(super) length: usize,
}

#[derive(Debug, Clone, Copy)]
enum Lacing {
    No,
    Xiph,
    Fixed,
    Ebml,
}

/// Bytes of the longest head.
pub(super) const MAX_HEAD: usize = 11;

impl BlockHead {
    pub(super) fn read(block: &[u8]) -> Option<Self> {
        let Read::Whole((track, length)) = integer(block, 8) else { return None };
        let &[high, low, flags, ..] = block.get(length..)? else { return None };
        let lacing = match flags >> 1 & 3 {
            0 => Lacing::No,
            1 => Lacing::Xiph,
            2 => Lacing::Fixed,
            _ => Lacing::Ebml,
        };
        let time = i16::from_be_bytes([high, low]);
        Some(Self { track, time, keyframe: flags & 0x80 != 0, lacing, length: length + 3 })
    }

    /// Where in the block each frame lies.
    pub(super) fn frames(&self, block: &[u8], frames: &mut Vec<Range<usize>>) -> Result<(), &'static str> {
        frames.clear();
        let Lacing::No = self.lacing else { return self.laced(block, frames).ok_or("the lacing of a block is wrong") };
        frames.push(self.length..block.len());
        Ok(())
    }

    fn laced(&self, block: &[u8], frames: &mut Vec<Range<usize>>) -> Option<()> {
        let count = usize::from(*block.get(self.length)?) + 1;
        let mut at = self.length + 1;
        // Lengths first, as ranges from zero: where the frames begin is known once all lengths are read.
        let mut size = 0_i64;
        let mut sum = 0_usize;
        for index in 0..count - 1 {
            size = match self.lacing {
                Lacing::Xiph => {
                    let long = block.get(at..)?.iter().take_while(|&&byte| byte == 255).count();
                    let last = *block.get(at + long)?;
                    at += long + 1;
                    long as i64 * 255 + i64::from(last)
                }
                Lacing::Ebml => {
                    let (value, length) = if index == 0 {
                        match integer(block.get(at..)?, 8) {
                            Read::Whole((value, length)) => (i64::try_from(value).ok()?, length),
                            _ => return None,
                        }
                    } else {
                        signed(block.get(at..)?).and_then(|(value, length)| Some((size.checked_add(value)?, length)))?
                    };
                    at += length;
                    value
                }
                Lacing::Fixed | Lacing::No => ((block.len() - at) / count) as i64,
            };
            let length = usize::try_from(size).ok().filter(|&length| length <= block.len())?;
            frames.push(sum..sum + length);
            sum += length;
        }
        let last = block.len().checked_sub(at + sum)?;
        if matches!(self.lacing, Lacing::Fixed) && last * count != block.len() - at {
            return None;
        }
        frames.push(sum..sum + last);
        for frame in frames {
            *frame = frame.start + at..frame.end + at;
        }
        Some(())
    }
}

/// What a `BlockGroup` holds.
pub(super) struct Group {
    /// Where in its content the block lies.
    pub(super) block: Range<usize>,
    /// Nanoseconds to discard: from the end, where negative from the beginning.
    pub(super) discard: i64,
}

impl Group {
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        let mut group = Self { block: 0..0, discard: 0 };
        let mut children = Children::of(content);
        for child in children.by_ref() {
            match child.id {
                id::BLOCK => group.block = child.at..child.at + child.content.len(),
                id::DISCARD_PADDING => group.discard = signed_content(child.content)?,
                _ => {}
            }
        }
        (children.exhausted() && !group.block.is_empty()).then_some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(block: &[u8]) -> Option<Vec<usize>> {
        let mut frames = Vec::new();
        BlockHead::read(block)?.frames(block, &mut frames).ok()?;
        assert!(frames.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(frames.last()?.end, block.len());
        Some(frames.iter().map(|frame| frame.len()).collect())
    }

    #[test]
    fn lacing_of_every_kind_is_cut_apart() {
        let block =
            |flags: u8, lacing: &[u8], bytes: usize| [&[0x81, 0xFF, 0xFE, flags], lacing, &vec![7; bytes]].concat();
        assert_eq!(frames(&block(0x80, &[], 5)), Some(vec![5]));
        assert_eq!(frames(&block(0x82, &[2, 255, 1, 3], 300)), Some(vec![256, 3, 41]));
        assert_eq!(frames(&block(0x84, &[2], 9)), Some(vec![3, 3, 3]));
        assert_eq!(frames(&block(0x86, &[3, 0x84, 0xC1, 0xBE], 24)), Some(vec![4, 6, 5, 9]));
        assert_eq!(frames(&block(0x82, &[0], 4)), Some(vec![4]));
    }

    #[test]
    fn lacing_that_does_not_fit_is_refused() {
        assert_eq!(frames(&[0x81, 0, 0, 0x82]), None);
        assert_eq!(frames(&[0x81, 0, 0, 0x82, 1, 255]), None);
        assert_eq!(frames(&[0x81, 0, 0, 0x82, 1, 3, 1, 2]), None);
        assert_eq!(frames(&[0x81, 0, 0, 0x84, 1, 1, 2, 3]), None);
        assert_eq!(frames(&[0x81, 0, 0, 0x86, 2, 0x81, 0x80, 1, 2, 3]), None);
        assert_eq!(frames(&[0x81, 0, 0]), None);
    }
}
