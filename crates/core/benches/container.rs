//! How fast streams are taken apart and put together: `cargo bench -p antiphon-core --bench container`, half a minute.
//!
//! Ten minutes of Opus at 24 kb/s in packets of 20 ms, in pieces of 640 bytes (a MediaRecorder's piece of 200 ms) and
//! of 64 KiB (a file). criterion tells the time of the whole and bytes a second; a packet is 1/30000 of the whole.
#![allow(missing_docs)] // made by criterion's macros

#[path = "../tests/container_kit/mod.rs"]
mod container_kit;

use std::hint::black_box;
use std::time::Duration;

use antiphon_core::container::ogg::{OggDemuxer, OggWriter, PageFlush};
use antiphon_core::container::webm::WebmDemuxer;
use antiphon_core::container::{Event, Tags};
use container_kit::{Demuxer, cluster, head, packet, simple_block, webm_header};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PACKETS: u32 = 30_000;
const PIECES: [usize; 2] = [640, 64 * 1024];

fn speech() -> Vec<Vec<u8>> {
    (0..PACKETS).map(|number| packet(number, 40 + (number * 7 % 41) as usize)).collect()
}

fn ogg(packets: &[Vec<u8>], flush: PageFlush) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = OggWriter::new(head(312), &Tags::default(), 1, flush).expect("a plain stream can be written");
    for packet in packets {
        writer.write(packet, &mut out).expect("a packet can be written");
    }
    writer.finish(0, &mut out).expect("the stream can be ended");
    out
}

fn webm(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = webm_header(1, 0);
    for (number, packets) in packets.chunks(10).enumerate() {
        out.extend(cluster(200 * number as u32));
        for (index, packet) in packets.iter().enumerate() {
            out.extend(simple_block(1, 20 * index as i16, packet));
        }
    }
    out
}

fn demux(mut demuxer: impl Demuxer, stream: &[u8], piece: usize) -> u32 {
    let mut count = 0;
    for bytes in stream.chunks(piece) {
        demuxer.push(bytes).expect("the stream is sound");
        while let Some(event) = demuxer.next_event().expect("the stream is sound") {
            if let Event::Packet(packet) = black_box(event) {
                count += 1;
                black_box(packet.data);
            }
        }
    }
    count
}

fn benches(criterion: &mut Criterion) {
    let packets = speech();
    let streams = [
        ("webm", webm(&packets)),
        ("ogg, a page a second", ogg(&packets, PageFlush::default())),
        ("ogg, a page a packet", ogg(&packets, PageFlush::EachPacket)),
    ];
    let mut group = criterion.benchmark_group("demux");
    for (name, stream) in &streams {
        for piece in PIECES {
            group.throughput(Throughput::Bytes(stream.len() as u64));
            group.bench_function(BenchmarkId::new(*name, piece), |bencher| {
                bencher.iter(|| {
                    let count = match *name {
                        "webm" => demux(WebmDemuxer::new(), stream, piece),
                        _ => demux(OggDemuxer::new(), stream, piece),
                    };
                    assert!(count >= PACKETS - 50); // the last page waits for the end
                });
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(PACKETS.into()));
    for (name, flush) in [("a page a second", PageFlush::default()), ("a page a packet", PageFlush::EachPacket)] {
        group.bench_function(name, |bencher| bencher.iter(|| ogg(black_box(&packets), flush).len()));
    }
    group.finish();
}

criterion_group! {
    name = container;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = benches
}
criterion_main!(container);
