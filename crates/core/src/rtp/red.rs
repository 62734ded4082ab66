//! Redundant audio (RFC 2198): a packet that carries earlier ones once more.

/// Most blocks of one packet that are looked at.
const MOST_BLOCKS: usize = 8;

/// One of the blocks of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Payload type.
    pub payload_type: u8,
    /// By how many ticks of the clock the block is older than the packet; 0 for the primary one.
    pub offset: u16,
    /// What a decoder takes.
    pub payload: &'a [u8],
}

/// The blocks of a redundant packet, the primary one last.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    blocks: [Option<Block<'a>>; MOST_BLOCKS],
    count: usize,
}

impl<'a> Blocks<'a> {
    /// Takes a packet apart; `None` where it is not as RFC 2198 has it or holds more than eight blocks.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut heads = [(0_u8, 0_u16, 0_usize); MOST_BLOCKS];
        let (mut count, mut rest) = (0, packet);
        loop {
            let head = heads.get_mut(count)?;
            count += 1;
            match *rest {
                [first, ..] if first & 0x80 == 0 => {
                    *head = (first, 0, 0);
                    rest = &rest[1..];
                    break;
                }
                [first, a, b, c, ..] => {
                    let offset = u16::from(a) << 6 | u16::from(b) >> 2;
                    *head = (first & 0x7F, offset, usize::from(b & 3) << 8 | usize::from(c));
                    rest = &rest[4..];
                }
                _ => return None,
            }
        }
        let mut blocks = [None; MOST_BLOCKS];
        for (at, &(payload_type, offset, length)) in heads[..count].iter().enumerate() {
            let length = if at + 1 == count { rest.len() } else { length };
            let (payload, after) = rest.split_at_checked(length)?;
            rest = after;
            blocks[at] = Some(Block { payload_type, offset, payload });
        }
        Some(Self { blocks, count })
    }

    /// What the packet is for.
    pub fn primary(&self) -> Option<Block<'a>> {
        self.blocks[self.count - 1]
    }

    /// What it carries once more, the oldest first.
    pub fn redundant(&self) -> impl Iterator<Item = Block<'a>> {
        self.blocks[..self.count - 1].iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_gives_its_blocks() {
        let packet = [0x80 | 111, 0x0F, 0x00, 3, 111, 1, 2, 3, 9, 8];
        let blocks = Blocks::parse(&packet).unwrap();
        let redundant: Vec<_> = blocks.redundant().collect();
        assert_eq!(redundant, [Block { payload_type: 111, offset: 960, payload: &[1, 2, 3] }]);
        assert_eq!(blocks.primary(), Some(Block { payload_type: 111, offset: 0, payload: &[9, 8] }));
    }

    #[test]
    fn a_packet_without_redundancy_is_its_primary_block() {
        let blocks = Blocks::parse(&[111, 5, 6]).unwrap();
        assert_eq!(blocks.redundant().count(), 0);
        assert_eq!(blocks.primary().unwrap().payload, [5, 6]);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for packet in [&[][..], &[0x80], &[0x80 | 111, 0, 0], &[0x80 | 111, 0, 0, 9, 111, 1], &[0x80; 64]] {
            assert!(Blocks::parse(packet).is_none(), "{packet:?}");
        }
    }
}
