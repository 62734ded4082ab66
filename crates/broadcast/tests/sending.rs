//! Packets reach each connection whole, in order, and from where it asked.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod kit;

use std::{io::Write, os::fd::AsFd, time::Duration};

use antiphon_broadcast::{Event, GoneReason, TapeOptions};
use kit::{Station, TEXT, connection, narrow_connection, packet, text};

#[test]
fn a_file_is_sent_from_beginning_to_end() {
    let mut station = Station::start();
    let tape = station.finished(100, 80);
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    drop(server);
    station.wait_for(&Event::Ended(reader));
    assert_eq!(listener.numbers(100, 80), Vec::from_iter(0..100));
    let stats = station.stats(reader);
    assert_eq!((stats.sent, stats.bytes, stats.position), (100, 8_200, 100));
    assert_eq!(stats.dropped, 0);
    station.broadcaster.detach(reader).unwrap();
    station.wait_for(&Event::Released(reader));
    assert!(listener.frame().is_none());
    assert!(station.broadcaster.reader_stats(reader).is_err());
    let statistics = station.broadcaster.statistics();
    assert_eq!((statistics.packets, statistics.readers, statistics.errors), (100, 0, 0));
    assert_eq!(statistics.late.packets, 100 + statistics.stalls);
}

#[test]
fn five_hundred_listeners_hear_the_same_from_where_each_began() {
    let mut station = Station::start();
    let tape = station.finished(60, 100);
    let mut listeners: Vec<_> = (0..500)
        .map(|number| {
            let (server, listener) = connection();
            (station.attach(tape, &server, number % 10), number % 10, listener)
        })
        .collect();
    for (_, from, listener) in &mut listeners {
        assert_eq!(listener.numbers(60 - *from as usize, 100), Vec::from_iter(*from as u32..60));
    }
    for (reader, ..) in &listeners {
        station.broadcaster.detach(*reader).unwrap();
    }
    let mut left: std::collections::HashSet<_> = listeners.iter().map(|(reader, ..)| *reader).collect();
    while !left.is_empty() {
        left.remove(&station.wait(|event| match event {
            Event::Released(reader) => Some(*reader),
            _ => None,
        }));
    }
    assert_eq!(station.broadcaster.statistics().readers, 0);
}

#[test]
fn nothing_comes_between_the_parts_of_a_frame() {
    let mut station = Station::start();
    let tape = station.finished(40, 30_000);
    let (server, mut listener) = narrow_connection();
    let reader = station.broadcaster.attach(tape, server.as_fd(), 0, Duration::from_secs(60)).unwrap();
    let (mut next, mut answers) = (0, 0);
    while next < 40 {
        let (kind, payload) = listener.frame_by(997).unwrap();
        if kind == TEXT {
            assert_eq!(payload, b"pong");
            answers += 1;
            continue;
        }
        assert_eq!(payload, packet(next, 30_000));
        next += 1;
        assert!(station.broadcaster.send(reader, &text("pong")).unwrap());
    }
    while answers < 40 {
        assert_eq!(listener.frame(), Some((TEXT, b"pong".to_vec())));
        answers += 1;
    }
    station.wait_for(&Event::Ended(reader));
    assert_eq!(station.stats(reader).dropped, 0);
}

#[test]
fn what_was_begun_is_written_before_a_connection_is_let_go() {
    let mut station = Station::start();
    let tape = station.finished(1_000, 60_000);
    let (mut server, mut listener) = narrow_connection();
    let reader = station.attach(tape, &server, 0);
    station.until_cut_off(reader);
    assert!(station.broadcaster.send(reader, &text("goodbye")).unwrap());
    station.broadcaster.detach(reader).unwrap();
    assert!(!station.broadcaster.send(reader, &text("too late")).unwrap());
    assert_eq!(listener.numbers(1, 60_000), [0]);
    assert_eq!(listener.frame(), Some((TEXT, b"goodbye".to_vec())));
    station.wait_for(&Event::Released(reader));
    server.write_all(&text("by its owner")).unwrap();
    assert_eq!(listener.frame(), Some((TEXT, b"by its owner".to_vec())));
}

#[test]
fn who_takes_nothing_is_let_go_all_the_same() {
    let mut station = Station::start();
    let tape = station.finished(1_000, 60_000);
    let (server, _listener) = narrow_connection();
    let reader = station.attach(tape, &server, 0);
    station.until_cut_off(reader);
    station.broadcaster.detach(reader).unwrap();
    assert_eq!(station.wait_gone(reader), GoneReason::Timeout);
    assert_eq!(station.broadcaster.statistics().errors, 1);
}

#[test]
fn a_slow_listener_loses_the_oldest_packets_and_is_told_before_the_next() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions::default());
    station.append(tape, 0..400, 10_000);
    let (server, mut listener) = narrow_connection();
    let max_lag = Duration::from_millis(100);
    let reader = station.broadcaster.attach(tape, server.as_fd(), 0, max_lag).unwrap();
    // it reads nothing until the time of all packets has come
    station.until(|station| station.broadcaster.tape_stats(tape).unwrap().furthest == Some(400));
    station.broadcaster.finish(tape).unwrap();
    let (mut next, mut told, mut notices) = (0, 0, 0);
    while next < 400 {
        let (kind, payload) = listener.frame().unwrap();
        if kind == TEXT {
            let text = String::from_utf8(payload).unwrap();
            let figures: Vec<u32> =
                text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
            let [packets, total] = figures[..] else { panic!("{text}") };
            assert_eq!(text, format!(r#"{{"type":"dropped","packets":{packets},"total":{total}}}"#));
            (next, told, notices) = (next + packets, told + packets, notices + 1);
            assert_eq!(told, total);
            continue;
        }
        assert_eq!(payload, packet(next, 10_000), "packets are lost only where it was told");
        next += 1;
    }
    station.wait_for(&Event::Ended(reader));
    let stats = station.stats(reader);
    assert_eq!((stats.dropped, stats.sent), (told.into(), u64::from(400 - told)));
    // of the newest, as many are there as may wait
    assert!(notices >= 1 && told >= 300, "{told} in {notices}");
}

#[test]
fn who_goes_on_reading_in_time_loses_nothing() {
    let mut station = Station::start();
    let tape = station.finished(200, 2_000);
    let (server, mut listener) = narrow_connection();
    let reader = station.broadcaster.attach(tape, server.as_fd(), 0, Duration::from_secs(60)).unwrap();
    assert_eq!(listener.numbers(200, 2_000), Vec::from_iter(0..200));
    station.wait_for(&Event::Ended(reader));
    assert_eq!(station.stats(reader).dropped, 0);
}

#[test]
fn a_broken_connection_is_told_and_disturbs_nobody() {
    let mut station = Station::start();
    let tape = station.finished(200, 100);
    let (server, mut listener) = connection();
    let (other, broken) = connection();
    let reader = station.attach(tape, &server, 0);
    let lost = station.attach(tape, &other, 0);
    drop(broken);
    assert_eq!(station.wait_gone(lost), GoneReason::Closed);
    assert!(!station.broadcaster.send(lost, &text("hello")).unwrap());
    assert_eq!(listener.numbers(200, 100), Vec::from_iter(0..200));
    station.wait_for(&Event::Ended(reader));
}

#[test]
fn a_broadcaster_ends_while_it_sends() {
    let station = Station::start();
    let tape = station.finished(10_000, 100);
    let mut ends: Vec<_> = (0..20).map(|_| connection()).collect();
    for (server, _) in &ends {
        station.attach(tape, server, 0);
    }
    assert_eq!(ends[0].1.numbers(3, 100), [0, 1, 2]);
    drop(station);
    for (server, mut listener) in ends {
        drop(server);
        while listener.frame().is_some() {}
    }
}

#[test]
fn live_packets_go_to_who_is_there() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions { live: true, ..TapeOptions::default() });
    station.append(tape, 0..5, 50);
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    station.append(tape, 5..6, 50);
    station.append(tape, 6..8, 50);
    assert_eq!(listener.numbers(3, 50), [5, 6, 7]);
    station.broadcaster.pause(reader).unwrap();
    station.append(tape, 8..20, 50);
    station.broadcaster.resume(reader).unwrap();
    station.append(tape, 20..21, 50);
    assert_eq!(listener.number(50), 20);
    // two seconds are kept, and what is forgotten together with them
    station.append(tape, 21..5_000, 50);
    station.until(|station| station.broadcaster.tape_stats(tape).unwrap().dropped_head > 4_000);
    station.broadcaster.finish(tape).unwrap();
    station.wait_for(&Event::Ended(reader));
}

#[test]
fn frames_go_out_where_there_are_no_packets() {
    let mut station = Station::start();
    let tape = station.tape(TapeOptions::default());
    let (server, mut listener) = connection();
    let reader = station.attach(tape, &server, 0);
    assert!(station.broadcaster.send(reader, &text("hello")).unwrap());
    assert_eq!(listener.frame(), Some((TEXT, b"hello".to_vec())));
    assert_eq!(station.stats(reader).underruns, 0, "it has not begun");
    station.broadcaster.close_tape(tape).unwrap();
    station.wait_for(&Event::Ended(reader));
    assert!(station.broadcaster.send(reader, &text("goodbye")).unwrap());
    assert_eq!(listener.frame(), Some((TEXT, b"goodbye".to_vec())));
}
