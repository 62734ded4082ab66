use crate::{Error, Result};

/// The identification header of an Opus stream (RFC 7845 §5.1), `CodecPrivate` in WebM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// Output channels, 1 to 255.
    pub channels: u8,
    /// Samples of 48 kHz to drop from the beginning of what is decoded.
    pub pre_skip: u16,
    /// Rate of what was encoded, in Hz; 0 where it isn't known. Opus can be decoded at any of its rates.
    pub input_sample_rate: u32,
    /// What to multiply the output by, in units of 1/256 dB.
    pub output_gain: i16,
    /// How streams become channels.
    pub mapping: Mapping,
}

/// Channel mapping (RFC 7845 §5.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// 0: one stream of mono or stereo; 1: Vorbis' channel order; 2 and 3: ambisonics (RFC 8486); 255: unnamed.
    pub family: u8,
    /// Opus streams in each packet.
    pub streams: u8,
    /// How many of them, from the first, are stereo.
    pub coupled: u8,
    /// For families 1, 2 and 255, for each channel the decoded one that it takes, 255 for silence; for family 3 the
    /// matrix as it stands in the header. Empty for family 0.
    pub table: Vec<u8>,
}

const MAGIC: &[u8] = b"OpusHead";

impl OpusHead {
    /// A head of mapping family 0.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless `channels` is 1 or 2.
    pub fn new(channels: u8, pre_skip: u16, input_sample_rate: u32) -> Result<Self> {
        if !(1..=2).contains(&channels) {
            return Err(Error::unsupported(format!("{channels} channels; mapping family 0 has 1 or 2")));
        }
        Ok(Self { channels, pre_skip, input_sample_rate, output_gain: 0, mapping: Mapping::single(channels) })
    }

    /// What can be told of a stream whose head was never seen, by one of its packets.
    pub(super) fn assumed(packet: &[u8]) -> Self {
        let channels = if packet.first().is_some_and(|toc| toc & 4 != 0) { 2 } else { 1 };
        let mapping = Mapping::single(channels);
        Self { channels, pre_skip: 0, input_sample_rate: super::CLOCK, output_gain: 0, mapping }
    }

    /// Read a head.
    ///
    /// # Errors
    /// [`Error::Malformed`], the byte counted within the head.
    pub fn parse(head: &[u8]) -> Result<Self> {
        let short = || Error::malformed(head.len() as u64, "the Opus head is cut short");
        if !head.starts_with(MAGIC) {
            return Err(Error::malformed(0, "an Opus head begins with \"OpusHead\""));
        }
        let fixed: &[u8; 11] = head.get(8..19).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
        let &[version, channels, pre0, pre1, rate0, rate1, rate2, rate3, gain0, gain1, family] = fixed;
        if version & 0xF0 != 0 {
            return Err(Error::malformed(8, format!("Opus head of version {version}; 0 to 15 can be read")));
        }
        if channels == 0 {
            return Err(Error::malformed(9, "an Opus stream of no channels"));
        }
        let mapping = Mapping::parse(family, channels, &head[19..])?;
        Ok(Self {
            channels,
            pre_skip: u16::from_le_bytes([pre0, pre1]),
            input_sample_rate: u32::from_le_bytes([rate0, rate1, rate2, rate3]),
            output_gain: i16::from_le_bytes([gain0, gain1]),
            mapping,
        })
    }

    /// The bytes of the head.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, self.channels]);
        bytes.extend(self.pre_skip.to_le_bytes());
        bytes.extend(self.input_sample_rate.to_le_bytes());
        bytes.extend(self.output_gain.to_le_bytes());
        bytes.push(self.mapping.family);
        if self.mapping.family != 0 {
            bytes.extend([self.mapping.streams, self.mapping.coupled]);
            bytes.extend(&self.mapping.table);
        }
        bytes
    }
}

impl Mapping {
    fn single(channels: u8) -> Self {
        Self { family: 0, streams: 1, coupled: channels - 1, table: Vec::new() }
    }

    /// `table` is what follows the family, the byte 18 of a head.
    fn parse(family: u8, channels: u8, table: &[u8]) -> Result<Self> {
        let most = [2, 8].get(usize::from(family)).copied().unwrap_or(255);
        if channels > most {
            return Err(Error::malformed(
                9,
                format!("{channels} channels; mapping family {family} has at most {most}"),
            ));
        }
        if family == 0 {
            return Ok(Self::single(channels));
        }
        let &[streams, coupled, ref table @ ..] = table else {
            return Err(Error::malformed(19, "the channel mapping is cut short"));
        };
        if streams == 0 || coupled > streams || u16::from(streams) + u16::from(coupled) > 255 {
            return Err(Error::malformed(19, format!("{coupled} of {streams} Opus streams cannot be coupled")));
        }
        let decoded = usize::from(streams) + usize::from(coupled);
        let length = usize::from(channels) * if family == 3 { 2 * decoded } else { 1 };
        let table = table.get(..length).ok_or_else(|| Error::malformed(21, "the channel mapping is cut short"))?;
        if let Some(at) = table.iter().position(|&from| usize::from(from) >= decoded && from != 255)
            && family != 3
        {
            let from = table[at];
            return Err(Error::malformed(21 + at as u64, format!("channel {at} is mapped to {from} of {decoded}")));
        }
        Ok(Self { family, streams, coupled, table: table.to_vec() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let stereo = OpusHead { output_gain: -256, ..OpusHead::new(2, 312, 44_100).unwrap() };
        assert_eq!(stereo.to_bytes().len(), 19);
        assert_eq!(OpusHead::parse(&stereo.to_bytes()), Ok(stereo));
        let surround = OpusHead {
            channels: 6,
            mapping: Mapping { family: 1, streams: 4, coupled: 2, table: vec![0, 4, 1, 2, 3, 5] },
            ..OpusHead::new(1, 312, 48_000).unwrap()
        };
        assert_eq!(OpusHead::parse(&surround.to_bytes()), Ok(surround));
    }

    #[test]
    fn each_fault_is_named_by_its_byte() {
        let good = OpusHead::new(1, 312, 48_000).unwrap().to_bytes();
        let at = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut head = good.clone();
            change(&mut head);
            match OpusHead::parse(&head) {
                Err(Error::Malformed { at, .. }) => at,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(at(&|head| head[0] = b'o'), 0);
        assert_eq!(at(&|head| head.truncate(18)), 18);
        assert_eq!(at(&|head| head[8] = 16), 8);
        assert_eq!(at(&|head| head[9] = 0), 9);
        assert_eq!(at(&|head| head[9] = 3), 9);
        assert_eq!(at(&|head| head[18] = 1), 19);
        assert_eq!(at(&|head| (head[18] = 255, head.extend([0, 0, 0])).1), 19);
        assert_eq!(at(&|head| (head[18] = 255, head.extend([1, 2, 0])).1), 19);
        assert_eq!(at(&|head| (head[18] = 255, head.extend([1, 0])).1), 21);
        assert_eq!(at(&|head| (head[18] = 255, head.extend([1, 0, 1])).1), 21);
    }
}
