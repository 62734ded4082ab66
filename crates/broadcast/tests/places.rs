//! Places on tapes: other tapes, pauses, the producer's side, and what can't be.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod kit;

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use antiphon_broadcast::{Error, Event, TapeOptions};
use kit::{Station, connection, narrow_connection, packet};

#[test]
fn a_change_of_tape_leaves_no_gap() {
    let mut station = Station::start();
    let high = station.finished(1_000, 200);
    let (server, mut listener) = connection();
    let reader = station.attach(high, &server, 0);
    assert_eq!(listener.numbers(5, 200), [0, 1, 2, 3, 4]);
    // the other one begins later on, and comes into being while it is wanted
    let low = station.tape(TapeOptions { first: 40, ..TapeOptions::default() });
    station.broadcaster.switch(reader, low).unwrap();
    station.wait_for(&Event::Low(low));
    station.append(low, 40..1_000, 20);
    station.broadcaster.finish(low).unwrap();
    let mut changed = None;
    for number in 5..1_000 {
        let (_, payload) = listener.frame().unwrap();
        changed = changed.or((payload.len() == 20).then_some(number));
        assert_eq!(payload, packet(number, if changed.is_some() { 20 } else { 200 }));
    }
    assert!(changed.unwrap() >= 40, "{changed:?}");
    station.wait_for(&Event::Ended(reader));
    assert_eq!(station.broadcaster.tape_stats(high).unwrap().readers, 0);
    let stats = station.stats(reader);
    assert_eq!((stats.sent, stats.dropped, stats.underruns), (1_000, 0, 0));
}

#[test]
fn one_tape_after_the_other_is_heard_whole() {
    let mut station = Station::start();
    let first = station.finished(10, 30);
    let (server, mut listener) = connection();
    let reader = station.attach(first, &server, 0);
    station.wait_for(&Event::Ended(reader));
    for _ in 0..3 {
        let next = station.finished(10, 40);
        station.broadcaster.seek(reader, Some(0), Some(next)).unwrap();
        station.wait_for(&Event::Ended(reader));
        station.broadcaster.close_tape(next).unwrap();
    }
    assert_eq!(listener.numbers(10, 30), Vec::from_iter(0..10));
    for _ in 0..3 {
        assert_eq!(listener.numbers(10, 40), Vec::from_iter(0..10));
    }
    assert_eq!(station.stats(reader).underruns, 0);
    station.until(|station| station.broadcaster.statistics().tapes == 1);
}

#[test]
fn what_was_to_be_said_is_skipped() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions::default());
    station.append(tape, 0..1_000_000, 10);
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    assert_eq!(listener.number(10), 0);
    station.broadcaster.seek(reader, None, None).unwrap();
    station.append(tape, 1_000_000..1_000_005, 10);
    station.broadcaster.finish(tape).unwrap();
    station.wait_for(&Event::Ended(reader));
    let mut last = 0;
    while last < 1_000_000 {
        last = listener.number(10);
        assert!(!(100_000..1_000_000).contains(&last), "{last} is to be skipped");
    }
    assert_eq!(listener.numbers(4, 10), Vec::from_iter(1_000_001..1_000_005));
    assert_eq!(station.stats(reader).dropped, 0);
}

#[test]
fn a_pause_keeps_the_place() {
    let mut station = Station::start();
    let tape = station.finished(50, 10);
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    let mut numbers = listener.numbers(3, 10);
    station.broadcaster.pause(reader).unwrap();
    assert!(station.broadcaster.send(reader, &kit::text("paused")).unwrap());
    loop {
        let (kind, payload) = listener.frame().unwrap();
        if kind == kit::TEXT {
            break;
        }
        numbers.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
    }
    let place = station.stats(reader).position;
    assert_eq!(place, numbers.len() as u64);
    station.broadcaster.resume(reader).unwrap();
    numbers.extend(listener.numbers(50 - numbers.len(), 10));
    assert_eq!(numbers, Vec::from_iter(0..50));
    station.wait_for(&Event::Ended(reader));
    assert_eq!(station.stats(reader).stalls, station.broadcaster.statistics().stalls);
}

#[test]
fn a_producer_that_is_told_when_encodes_no_further_than_needed() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions { low_ahead: 20, ..TapeOptions::default() });
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    for batch in 0..10 {
        station.wait_for(&Event::Low(tape));
        let stats = station.broadcaster.tape_stats(tape).unwrap();
        assert!(stats.packets - stats.furthest.unwrap() < 20);
        station.append(tape, batch * 20..(batch + 1) * 20, 10);
    }
    station.broadcaster.finish(tape).unwrap();
    assert_eq!(listener.numbers(200, 10), Vec::from_iter(0..200));
    station.wait_for(&Event::Ended(reader));
}

#[test]
fn a_tape_is_bounded_and_who_is_too_far_behind_is_told() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions { max_bytes: 100_000, ..TapeOptions::default() });
    station.append(tape, 0..64, 1_000);
    let (server, mut listener) = connection();
    let refused = station.broadcaster.attach(tape, server.as_fd(), 0, Duration::from_secs(1));
    assert!(matches!(refused, Err(Error::Unknown(_))), "more than half lies in front of it");
    let reader = station.attach(tape, &server, 60);
    station.broadcaster.pause(reader).unwrap();
    station.append(tape, 64..1_000, 1_000);
    station.until(|station| station.broadcaster.tape_stats(tape).unwrap().dropped_head > 800);
    assert!(station.broadcaster.tape_stats(tape).unwrap().bytes <= 100_000);
    station.broadcaster.finish(tape).unwrap();
    station.broadcaster.resume(reader).unwrap();
    station.wait_for(&Event::Ended(reader));
    let lost = station.stats(reader).dropped;
    assert!(lost > 700, "{lost}");
    let mut heard = Vec::new();
    while heard.last() != Some(&999) {
        let (kind, payload) = listener.frame().unwrap();
        if kind == kit::BINARY {
            heard.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
        }
    }
    assert_eq!(heard.len() as u64 + lost, 940);
}

#[test]
fn what_can_not_be_is_refused() {
    let mut station = Station::start();
    let broadcaster = &station.broadcaster;
    let invalid = |result: Result<(), Error>| matches!(result, Err(Error::Invalid(_)));
    let unknown = |result: Result<(), Error>| matches!(result, Err(Error::Unknown(_)));
    for options in [
        TapeOptions { frame_us: 0, ..TapeOptions::default() },
        TapeOptions { frame_us: u64::MAX, ..TapeOptions::default() },
        TapeOptions { max_bytes: 0, ..TapeOptions::default() },
        TapeOptions { first: u64::MAX, ..TapeOptions::default() },
    ] {
        assert!(invalid(broadcaster.open_tape(options).map(drop)));
    }
    let tape = station.finished(1, 10);
    assert!(invalid(broadcaster.append(tape, [&b"late"[..]])));
    assert!(broadcaster.finish(tape).is_ok());
    let other = broadcaster.open_tape(TapeOptions::default()).unwrap();
    assert!(invalid(broadcaster.append(other, [&b"good"[..], b""])));
    assert!(invalid(broadcaster.append(other, [&b"good"[..], &[0; 65_536]])));
    assert_eq!(broadcaster.tape_stats(other).unwrap().packets, 0, "none of them is taken");
    assert!(unknown(broadcaster.append(99, [&b"good"[..]])));
    assert!(unknown(broadcaster.finish(99)));
    assert!(unknown(broadcaster.tape_stats(99).map(drop)));
    assert!(broadcaster.close_tape(99).is_ok());

    let (server, _listener) = connection();
    let attach = |tape, fd: BorrowedFd<'_>, lag| broadcaster.attach(tape, fd, 0, Duration::from_millis(lag)).map(drop);
    assert!(unknown(attach(99, server.as_fd(), 1_000)));
    assert!(invalid(attach(tape, server.as_fd(), 99)));
    assert!(invalid(attach(tape, server.as_fd(), 60_001)));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(attach(tape, file.as_fd(), 1_000), Err(Error::Invalid(_) | Error::Io(_))));
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(invalid(attach(tape, datagrams.as_fd(), 1_000)));
    // SAFETY: such a number is never open, and nothing is done with it but trying to duplicate it.
    let closed = unsafe { BorrowedFd::borrow_raw(1 << 29) };
    assert!(matches!(attach(tape, closed, 1_000), Err(Error::Io(_))));

    assert!(!broadcaster.send(99, b"frame").unwrap());
    assert!(broadcaster.switch(99, other).is_ok() && unknown(broadcaster.switch(99, 98)));
    assert!(broadcaster.seek(99, Some(7), Some(98)).is_ok());
    assert!(invalid(broadcaster.seek(99, Some(u64::MAX), None)));
    for act in [broadcaster.pause(99), broadcaster.resume(99), broadcaster.detach(99)] {
        assert!(act.is_ok());
    }
    let reader = station.attach(other, &server, 0);
    let slow = station.tape(TapeOptions::default());
    assert!(invalid(station.broadcaster.switch(reader, slow)), "its packets last less");
    let live = station.broadcaster.open_tape(TapeOptions { live: true, ..TapeOptions::default() }).unwrap();
    assert!(invalid(station.broadcaster.switch(reader, live)));
    station.broadcaster.detach(reader).unwrap();
    station.broadcaster.detach(reader).unwrap();
    station.wait_for(&Event::Released(reader));
    station.broadcaster.detach(reader).unwrap();
}

#[test]
fn no_more_frames_wait_than_may() {
    let mut station = Station::start();
    let tape = station.finished(100, 60_000);
    let (server, mut listener) = narrow_connection();
    let reader = station.attach(tape, &server, 0);
    station.until_cut_off(reader);
    let frame = [&[0x82, 126, 0x27, 0x10][..], &[7; 10_000]].concat();
    let taken = (0..20).filter(|_| station.broadcaster.send(reader, &frame).unwrap()).count();
    assert_eq!(taken, 6, "64 KiB");
    assert!(!station.broadcaster.send(reader, &vec![0; 65_537]).unwrap());
    let mut came = 0;
    while came < taken {
        came += usize::from(listener.frame().unwrap().1 == [7; 10_000]);
    }
    station.until(|station| station.broadcaster.send(reader, &frame).unwrap());
    // The narrow connection would take longer than what waits is given.
    listener.widen();
    station.broadcaster.detach(reader).unwrap();
    while listener.frame().unwrap().1 != [7; 10_000] {}
    station.wait_for(&Event::Released(reader));
}
