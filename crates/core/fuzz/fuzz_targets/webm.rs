#![no_main]

use antiphon_core::Result;
use antiphon_core::container::webm::WebmDemuxer;
use antiphon_core::container::{Event, MAX_PACKET, OpusHead};
use libfuzzer_sys::fuzz_target;

// The first byte says how the rest is cut into pieces, and whether the head is known from elsewhere. What comes out
// must be the same in one piece.
fuzz_target!(|data: &[u8]| {
    let Some((&control, stream)) = data.split_first() else { return };
    let demuxer = || match control & 1 {
        0 => WebmDemuxer::new(),
        _ => WebmDemuxer::with_header(OpusHead::new(2, 312, 48_000).expect("two channels are possible")),
    };
    let piece = 1 + usize::from(control >> 1);
    let cut = events(demuxer(), stream.chunks(piece), stream);
    let whole = events(demuxer(), [stream].into_iter(), stream);
    assert_eq!(cut, whole, "in pieces of {piece}");
});

/// What came out, as far as it can be compared: packets by their place and size.
fn events<'a>(
    mut demuxer: WebmDemuxer,
    pieces: impl Iterator<Item = &'a [u8]>,
    stream: &[u8],
) -> Result<Vec<(u64, i64, usize)>> {
    let mut seen = Vec::new();
    let mut last = i64::MIN;
    for piece in pieces {
        demuxer.push(piece)?;
        while take(demuxer.next_event()?, stream, &mut last, &mut seen) {}
    }
    demuxer.finish();
    while take(demuxer.next_event()?, stream, &mut last, &mut seen) {}
    Ok(seen)
}

fn take(event: Option<Event>, stream: &[u8], last: &mut i64, seen: &mut Vec<(u64, i64, usize)>) -> bool {
    match event {
        None => return false,
        Some(Event::Header(header)) => seen.push((header.at, i64::from(header.head.pre_skip), 0)),
        Some(Event::Gap(gap)) => {
            assert!(gap.at + gap.bytes <= stream.len() as u64);
            seen.push((gap.at, gap.bytes as i64, 1));
        }
        Some(Event::End { at }) => {
            assert_eq!(at, stream.len() as u64);
            seen.push((at, 0, 2));
        }
        Some(Event::Packet(packet)) => {
            let audible = packet.timestamp + i64::from(packet.discard_start);
            assert!(audible >= *last, "time goes back");
            *last = audible;
            assert!((120..=5_760).contains(&packet.duration));
            assert!(packet.discard_start + packet.discard_end <= packet.duration);
            assert!(packet.data.len() <= MAX_PACKET && packet.data.len() <= stream.len());
            assert_eq!(packet.data[0], stream[packet.at as usize]);
            seen.push((packet.at, packet.timestamp, 3 + packet.data.len()));
        }
    }
    true
}
