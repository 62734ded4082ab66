//! What can be trusted of a stream that is joined in the middle, or after damage.

use super::block::BlockHead;
use super::id;
use crate::container::ebml::{Element, MAX_HEADER, Read};
use crate::container::{OpusHead, packet_duration, plausible};

/// Largest header in bytes.
pub(super) const MAX_EBML: u64 = 4 << 10;

/// Whether a new header begins here, by its first child too.
pub(super) fn restart(bytes: &[u8]) -> bool {
    matches!(find(bytes), Read::Whole(id::EBML))
}

/// Whether a cluster, a header or a list of tracks begins here: an ID, a size that is possible, and an ID that may come first in it.
pub(super) fn find(bytes: &[u8]) -> Read<u32> {
    for id in [id::EBML, id::CLUSTER, id::TRACKS] {
        let id = id.to_be_bytes();
        let known = bytes.len().min(id.len());
        if bytes[..known] == id[..known] {
            if bytes.len() < MAX_HEADER + 1
                && !matches!(Element::read(bytes), Read::Whole(element) if bytes.len() > element.header)
            {
                return Read::Part;
            }
            return first_child(bytes);
        }
    }
    Read::No
}

fn first_child(bytes: &[u8]) -> Read<u32> {
    let Read::Whole(Element { id, size, header }) = Element::read(bytes) else { return Read::No };
    let Some(&child) = bytes.get(header) else { return Read::Part };
    let possible = match (id, child.into()) {
        (_, id::VOID | id::CRC) => true,
        // All children of this one have IDs that begin so.
        (id::EBML, child) => size.is_some_and(|size| size <= MAX_EBML) && child == id::DOC_TYPE >> 8,
        (id::TRACKS, child) => child == id::TRACK_ENTRY,
        (_, child) => matches!(child, id::TIMESTAMP | id::POSITION | id::PREV_SIZE),
    };
    if possible { Read::Whole(id) } else { Read::No }
}

/// Tracks that are watched.
const MAX_TRACKS: usize = 8;
/// Blocks that have to come when the durations of those before them say.
const ENOUGH: u32 = 2;

/// Blocks of tracks of which nothing is known.
///
/// Nearly any bytes are an Opus packet of some length. What betrays video is that its frames depend on one another and
/// that they do not come when such packets would end.
#[derive(Debug, Default)]
pub(super) struct Witnesses(Vec<Witness>);

#[derive(Debug)]
struct Witness {
    track: u64,
    /// When the next block is due, in samples.
    next: i64,
    seen: u32,
}

impl Witnesses {
    /// Whether a block of these packets, `time` samples into the stream, shows its track to be Opus.
    pub(super) fn opus<'a>(
        &mut self,
        head: &BlockHead,
        packets: impl Iterator<Item = &'a [u8]> + Clone,
        time: i64,
        given: Option<&OpusHead>,
    ) -> bool {
        if !packets.clone().all(|packet| plausible(packet, given)) {
            self.0.retain(|witness| witness.track != head.track);
            return false;
        }
        let duration: i64 = packets.filter_map(|packet| packet_duration(packet).ok()).map(i64::from).sum();
        let next = time + duration;
        let Some(witness) = self.0.iter_mut().find(|witness| witness.track == head.track) else {
            if self.0.len() < MAX_TRACKS {
                self.0.push(Witness { track: head.track, next, seen: 0 });
            }
            return head.keyframe;
        };
        // Browsers stamp blocks with the time of capture, which trembles by some milliseconds.
        witness.seen = if (time - witness.next).abs() <= duration / 4 { witness.seen + 1 } else { 0 };
        witness.next = next;
        head.keyframe || witness.seen >= ENOUGH
    }
}
