//! A room that is warmed up asks for no memory, whatever its network does.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use antiphon_core::{
    mixer::{Id, InputFormat, OutputFormat, level},
    opus::{Encoder, EncoderConfig, MAX_PACKET_BYTES},
    room::{Arrived, Input, MixRoom, MixRoomConfig},
};

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts how often it is asked for memory.
struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PEOPLE: Id = 25;

fn opus() -> EncoderConfig {
    EncoderConfig { bitrate: 32_000, complexity: 2, dtx: false, fec: false, ..EncoderConfig::voice_high_quality() }
}

/// Somebody who talks, all the time or by turns, or doesn't.
fn talk(id: Id, turns: bool) -> Vec<(Vec<u8>, u8)> {
    let mut encoder = Encoder::new(&opus()).expect("configuration");
    let mut packet = vec![0; MAX_PACKET_BYTES];
    let hz = 110.0 + 11.0 * id as f32;
    (0..200)
        .map(|tick: usize| {
            let talks = if turns { (tick / 50 + id as usize).is_multiple_of(6) } else { id < 3 };
            let pcm: Vec<f32> = (0..960)
                .map(|n| {
                    let t = (tick * 960 + n) as f32 / 48_000.0;
                    let gain = if talks { 0.2 } else { 0.000_3 };
                    (1..8).map(|k| gain / k as f32 * (std::f32::consts::TAU * hz * k as f32 * t).sin()).sum()
                })
                .collect();
            let length = encoder.encode_float(&pcm, &mut packet).expect("encoded");
            (packet[..length].to_vec(), (-level::dbov(&pcm)).round() as u8)
        })
        .collect()
}

/// How often memory was asked for in the second half of a minute, in how many ticks, and how many turns there were.
fn run(turns: bool) -> (usize, usize, u64) {
    let mut room = MixRoom::new(MixRoomConfig::default()).expect("configuration");
    let talks: Vec<_> = (0..PEOPLE).map(|id| talk(id, turns)).collect();
    for id in 0..PEOPLE {
        room.add(id, Some(Input::Rtp(InputFormat::Opus)), Some(OutputFormat::Opus(opus()))).expect("room");
    }
    room.add(100, Some(Input::Pcm { sample_rate: 22_050, channels: 1 }), Some(OutputFormat::Pcmu)).expect("room");
    room.tap(0, Some(16_000)).expect("a rate");
    let pcm = [0; 882];
    let mut state = 7_u64;
    let (mut asked, mut ticks_asking, mut packets, mut turned) = (0, 0, 0, 0);
    for tick in 0..3_000_usize {
        let before = ASKED.with(Cell::get);
        let now = tick as i64 * 20_000;
        for id in 0..PEOPLE {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 33).is_multiple_of(50) {
                continue;
            }
            let (payload, level) = &talks[id as usize][tick % 200];
            let level = id.is_multiple_of(2).then_some(*level);
            let (sequence_number, timestamp) = (tick as u16, tick as u32 * 960);
            let packet = Arrived { ssrc: 1, sequence_number, timestamp, payload, level, voice: None };
            room.push(id, &packet, now + (state >> 40) as i64 % 9_000).expect("a packet");
        }
        room.push_pcm(100, &pcm, now).expect("samples");
        room.tick(now + 10_000).expect("a tick");
        packets += room.packets().count();
        assert_eq!(room.tapped().count(), 1);
        if tick >= 1_500 {
            let more = ASKED.with(Cell::get) - before;
            asked += more;
            ticks_asking += usize::from(more > 0);
            turned += room.changes().len() as u64;
        }
    }
    assert!(packets > 70_000, "{packets}");
    (asked, ticks_asking, turned)
}

#[test]
fn a_warm_room_asks_for_no_memory() {
    let (asked, ticks, turns) = run(false);
    assert_eq!(turns, 0);
    // A queue may once be longer than ever before.
    assert!(asked <= 3, "asked {asked} times in {ticks} of 1500 ticks");
}

#[test]
fn a_turn_asks_for_an_encoder_and_little_else() {
    let (asked, ticks, turns) = run(true);
    assert!(turns > 50, "{turns}");
    println!("asked {asked} times in {ticks} of 1500 ticks, in which {turns} began to speak or ceased");
    assert!(asked < 40 * turns as usize, "asked {asked} times in {ticks} ticks for {turns} turns");
}
