#![allow(clippy::unwrap_used, reason = "a test ends there")]

use std::sync::mpsc::sync_channel;

use antiphon_core::mixer::InputFormat;
use mio::Waker;

use super::{routes::Line, *};
use crate::{
    config::{LocalInput, LocalOutput, RoomMode, RoomOptions},
    engine::peer_config,
    net::udp::bind,
};

const ROOM: RoomId = 1;
const SPEAKER: MemberId = 2;
const LISTENER: MemberId = 3;
const PACKET: Duration = Duration::from_millis(20);
const LASTING: Duration = Duration::from_secs(5);

/// A shard that has its turns when a test gives it some, with a mixed room of two who do not speak WebRTC.
fn shard(now: Instant) -> Shard {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), WAKE).unwrap();
    let (sender, commands) = sync_channel(1);
    let udp = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = udp.local_addr().unwrap();
    let mut made = Shard::new(ShardParts {
        index: 0,
        poll,
        udp,
        tcp: None,
        commands,
        events: Arc::new(Events::new().unwrap()),
        routes: Arc::new(Routes::new(vec![Line::new(sender, waker)])),
        config: peer_config(&[address], false).unwrap(),
        addresses: Addresses { udp: address, tcp: None },
        max_peers: 2,
        peer_timeout: Duration::from_secs(30),
    })
    .unwrap();
    let options = RoomOptions { mode: RoomMode::Mix, ..RoomOptions::default() };
    let input = LocalInput::Packets(InputFormat::Pcmu);
    let output = LocalOutput::Pcm16 { sample_rate: 8_000, channels: 1 };
    made.command(Command::OpenRoom { room: ROOM, options }, now);
    made.command(Command::JoinLocal { room: ROOM, id: SPEAKER, input: Some(input), output: None }, now);
    made.command(Command::JoinLocal { room: ROOM, id: LISTENER, input: None, output: Some(output) }, now);
    made
}

/// Milliseconds that the speaker's audio waits after some seconds, in which packets come in time but the thread has no
/// turn in the first `stall` of each half second; `as_read` counts packets as come when they are read.
fn delay(stall: Duration, as_read: bool) -> f64 {
    const EVERY: u128 = 500;
    let begun = Instant::now();
    let mut shard = shard(begun);
    let mut coming = (0..).map(|count| begun + PACKET * count).peekable();
    let mut passed = Duration::ZERO;
    while passed < LASTING {
        passed += Duration::from_millis(1);
        if passed.as_millis() % EVERY < stall.as_millis() {
            continue;
        }
        let now = begun + passed;
        while let Some(came) = coming.next_if(|came| *came <= now) {
            let arrived = if as_read { now } else { came };
            shard.command(Command::Push { id: SPEAKER, audio: vec![0x20; 160], arrived }, now);
        }
        shard.tick(now);
    }
    shard.batch.clear();
    shard.command(Command::Stats { id: SPEAKER }, begun + passed);
    let Some(Event::Stats { stats, .. }) = shard.batch.pop() else { panic!("no statistics") };
    stats.buffer.unwrap().delay_ms
}

#[test]
fn a_thread_that_is_late_adds_no_delay() {
    let stall = Duration::from_millis(90);
    let steady = delay(Duration::ZERO, false);
    let late = delay(stall, false);
    assert!((late - steady).abs() <= 20.0, "{steady} ms, and {late} with a late thread");
    // Which would be otherwise if the thread's own lateness counted as the network's.
    let mistaken = delay(stall, true);
    assert!(mistaken > steady + 40.0, "{steady} ms, and {mistaken}");
}
