//! Hostile and broken peers: refused or bounded, the others undisturbed.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod kit;

use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use antiphon_rtc::{EngineConfig, Event, Refusal, RoomMode, RoomOptions};
use kit::{Client, Server};

/// A packet of Opus that says nothing (RFC 6716, section 3.1: CELT, 20 ms, mono).
const PACKET: [u8; 3] = [0xF8, 0xFF, 0xFE];

fn server() -> Server {
    Server::new(&EngineConfig::default())
}

/// The engine still lets two in who then hear each other.
fn assert_well(server: &mut Server) {
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    server.until(&mut [&mut ann, &mut bob], "heard", |_, clients| {
        clients[0].speak(&PACKET, 20);
        clients[1].packets.len() > 2
    });
    server.engine.close_room(room).unwrap();
}

/// Numbers that look random and are the same each time (Vigna's splitmix64).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn offers_that_are_none_are_refused() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let good = Client::new(0).offer();
    let without = |what: &str| good.lines().filter(|line| !line.starts_with(what)).collect::<Vec<_>>().join("\r\n");
    for (offer, says) in [
        (String::new(), "session description"),
        ("hello".into(), "session description"),
        ("v=0\r\n".repeat(100), "session description"),
        (without("a=ice-pwd") + "\r\n", "ice"),
        (without("a=fingerprint") + "\r\n", "fingerprint"),
        (good.replace("opus/48000/2", "speex/8000"), "Opus"),
        ("a".repeat(1 << 20), "1048576 bytes"),
    ] {
        let id = server.engine.join(room, offer, true, true).unwrap();
        let message = server.answer(id).unwrap_err();
        assert!(message.contains(says), "{says}: {message}");
    }
    assert!(server.events.iter().any(|event| matches!(event, Event::Refused { code: Refusal::TooLarge, .. })));
    assert_well(&mut server);
}

#[test]
fn scrambled_offers_harm_nobody() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let good = Client::new(2).offer();
    for seed in 0..400_u64 {
        let mut bytes = good.clone().into_bytes();
        for turn in 0..1 + seed % 6 {
            if bytes.is_empty() {
                break;
            }
            let random = scramble(seed * 31 + turn);
            let (at, length) = ((random % bytes.len() as u64) as usize, (random >> 40) as usize % 40);
            let end = (at + length).min(bytes.len());
            match (random >> 32) % 4 {
                0 => drop(bytes.drain(at..end)),
                1 => bytes[at] = (random >> 48) as u8,
                2 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let offer = String::from_utf8_lossy(&bytes).into_owned();
        let id = server.engine.join(room, offer, true, true).unwrap();
        if server.answer(id).is_ok() {
            server.engine.leave(id).unwrap();
        }
    }
    assert_well(&mut server);
}

#[test]
fn candidates_that_are_none_are_told_and_harm_nobody() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::new(0);
    server.join(room, &mut ann);
    for good in [
        "candidate:1 1 udp 2122260223 192.0.2.7 61665 typ host generation 0 ufrag abcd",
        "a=candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active",
        "candidate:1 1 udp 2122260223 3b1c4b5e-7f0d-4d8e-9a6e-0c6f6a1c2d3e.local 61665 typ host",
        "",
    ] {
        server.engine.candidate(ann.id, good.into()).unwrap();
    }
    for bad in ["candidate:", "candidate:1 1 udp x 192.0.2.7 1 typ host", "hello"] {
        server.engine.candidate(ann.id, bad.into()).unwrap();
    }
    server.engine.candidate(ann.id, "candidate:".repeat(1000)).unwrap();
    server.pass(&mut [&mut ann], Duration::from_millis(100));
    let told = server.events.iter().filter(|event| matches!(event, Event::BadCandidate { .. })).count();
    assert_eq!(told, 4, "{:?}", server.events);
    assert_well(&mut server);
}

#[test]
fn somebody_with_another_certificate_is_let_go() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut eve = Client::new(0);
    let offer = eve.offer();
    let forged: String = offer
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(print) => format!("a=fingerprint:sha-256 00:11{}\r\n", &print[5..]),
            None => format!("{line}\r\n"),
        })
        .collect();
    let id = server.engine.join(room, forged, true, true).unwrap();
    let answer = server.answer(id).unwrap();
    eve.answer(&answer);
    server.until(&mut [&mut eve], "let go", |events, _| {
        events.iter().any(
            |event| matches!(event, Event::Closed { id: of, reason } if *of == id && reason.contains("fingerprint")),
        )
    });
    assert!(!server.events.contains(&Event::Connected(id)));
    assert_well(&mut server);
}

#[test]
fn packets_sent_again_are_heard_once() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    ann.sent.clear();
    for _ in 0..20 {
        ann.speak(&PACKET, 20);
    }
    let sent = ann.sent.clone();
    server.until(&mut [&mut ann, &mut bob], "heard", |_, clients| clients[1].packets.len() == 20);
    for _ in 0..3 {
        for (to, packet) in &sent {
            ann.write(*to, packet);
        }
    }
    // A changed packet doesn't pass either.
    let (to, mut forged) = sent[0].clone();
    forged[20] ^= 1;
    ann.write(to, &forged);
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(100));
    assert_eq!(bob.packets.len(), 20);
}

#[test]
fn a_flood_is_bounded_and_others_go_on() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob, mut eve) = (Client::new(0), Client::new(1), Client::new(0));
    for client in [&mut ann, &mut bob, &mut eve] {
        server.join(room, client);
    }
    server.pass(&mut [&mut ann, &mut bob, &mut eve], Duration::from_millis(60));
    let to = server.engine.addresses().0;
    for round in 0..20 {
        for _ in 0..500 {
            eve.write(to, &[0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        }
        ann.speak(&PACKET, 20);
        server
            .until(&mut [&mut ann, &mut bob], "heard all the same", |_, clients| clients[1].packets.len() == round + 1);
    }
    server.engine.stats(eve.id).unwrap();
    server.until(&mut [&mut ann], "figures", |events, _| {
        events.iter().any(|event| matches!(event, Event::Stats { id, stats } if *id == eve.id && stats.flooded > 1000))
    });
}

#[test]
fn strangers_get_nothing_but_their_address() {
    let mut server = server();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(kit::PATIENCE)).unwrap();
    let to = server.engine.addresses().0;
    for garbage in [&[][..], &[0], &[0; 20], &[22, 254, 253, 0, 0], &[0x80; 12], &[255; 1500]] {
        stranger.send_to(garbage, to).unwrap();
    }
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend(1..=12);
    stranger.send_to(&request, to).unwrap();
    let mut answer = [0; 100];
    let (count, _) = stranger.recv_from(&mut answer).unwrap();
    assert_eq!(answer[..2], [1, 1]);
    assert_eq!(answer[8..20], request[8..20]);
    let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
    let ip: Vec<u8> = answer[28..count].iter().zip([0x21, 0x12, 0xA4, 0x42]).map(|(a, b)| a ^ b).collect();
    assert_eq!((port, &ip[..]), (stranger.local_addr().unwrap().port(), &[127, 0, 0, 1][..]));
    assert_well(&mut server);
}

#[test]
fn a_connection_that_sends_no_frames_is_closed() {
    let mut server = server();
    let mut stream = TcpStream::connect(server.engine.addresses().1.unwrap()).unwrap();
    stream.set_read_timeout(Some(kit::PATIENCE)).unwrap();
    stream.write_all(&[0xFF; 5000]).unwrap();
    let mut end = [0; 1];
    let closed = matches!(stream.read(&mut end), Ok(0) | Err(_));
    assert!(closed);
    assert_well(&mut server);
}

#[test]
fn a_peer_of_whom_nothing_comes_is_let_go() {
    let mut server = Server::new(&EngineConfig { peer_timeout: Duration::from_secs(2), ..EngineConfig::default() });
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = (Client::new(0), Client::new(0));
    server.join(room, &mut ann);
    let never = server.engine.join(room, bob.offer(), true, true).unwrap();
    server.answer(never).unwrap();
    // Ann's network is gone: she is not pumped any more.
    let (of_ann, ann) = (ann.id, ());
    server.until(&mut [], "both let go", |events, _| {
        let closed = |id| events.iter().any(|event| matches!(event, Event::Closed { id: of, .. } if *of == id));
        closed(of_ann) && closed(never)
    });
    let () = ann;
    assert_well(&mut server);
}

#[test]
fn no_more_are_let_in_than_there_is_room_for() {
    let mut server = Server::new(&EngineConfig { max_peers: 3, ..EngineConfig::default() });
    let room = server.engine.open_room(RoomOptions { max_participants: 2, ..RoomOptions::default() }).unwrap();
    let join = |server: &mut Server, room| {
        let id = server.engine.join(room, Client::new(0).offer(), true, true).unwrap();
        (id, server.answer(id))
    };
    let (first, answer) = join(&mut server, room);
    assert!(answer.is_ok());
    assert!(join(&mut server, room).1.is_ok());
    assert!(join(&mut server, room).1.unwrap_err().contains("room is full"));
    let other = server.room(RoomMode::Relay);
    assert!(join(&mut server, other).1.is_ok());
    assert!(join(&mut server, other).1.unwrap_err().contains("server is full"));
    server.engine.leave(first).unwrap();
    assert!(join(&mut server, other).1.is_ok(), "a place is free again");
    assert!(join(&mut server, 99 << 8).1.unwrap_err().contains("no such room"));
}

#[test]
fn a_thousand_joins_at_once_are_all_answered() {
    let mut server = Server::new(&EngineConfig { max_peers: 2000, threads: 2, ..EngineConfig::default() });
    let rooms = [server.room(RoomMode::Relay), server.room(RoomMode::Mix)];
    let offer = Client::new(0).offer();
    let ids: Vec<_> =
        (0..1000).map(|at| server.engine.join(rooms[at % 2], offer.clone(), true, true).unwrap()).collect();
    let answered = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Answer { .. })).count();
    server.until(&mut [], "all answered", |events, _| answered(events) == 1000);
    ids.into_iter().for_each(|id| server.engine.leave(id).unwrap());
    assert_well(&mut server);
}

#[test]
fn a_message_that_is_too_long_is_dropped_and_counted() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::new(0);
    server.join(room, &mut ann);
    ann.say(&"x".repeat(20_000));
    ann.say("short");
    let id = ann.id;
    let short = Event::Message { id, text: "short".into() };
    server.until(&mut [&mut ann], "the short one", |events, _| events.contains(&short));
    assert_eq!(server.events.iter().filter(|event| matches!(event, Event::Message { .. })).count(), 1);
    server.engine.stats(id).unwrap();
    server.until(&mut [&mut ann], "counted", |events, _| {
        events.iter().any(|event| matches!(event, Event::Stats { stats, .. } if stats.flooded == 1))
    });
}

#[test]
fn whoever_leaves_at_once_leaves_no_connection_behind() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::over_tcp(&server.engine, 0);
    server.join(room, &mut ann);
    server.engine.leave(ann.id).unwrap();
    server.until(&mut [], "closed", |_, _| ann.hung_up());
}
