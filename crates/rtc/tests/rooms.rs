//! Rooms, heard from outside.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod kit;

use std::time::Duration;

use antiphon_core::opus::{Decoder, Encoder, EncoderConfig};
use antiphon_rtc::{EngineConfig, Event, LocalInput, LocalOutput, RoomMode, RoomOptions};
use kit::{Client, Server};
use str0m::media::Direction;

fn server() -> Server {
    Server::new(&EngineConfig::default())
}

/// Packets of a tone.
fn tone(hertz: f32, count: usize) -> Vec<Vec<u8>> {
    let config = EncoderConfig { bitrate: 32_000, complexity: 1, dtx: false, ..EncoderConfig::default() };
    let mut encoder = Encoder::new(&config).unwrap();
    (0..count)
        .map(|frame| {
            let pcm: Vec<f32> = (0..960)
                .map(|at| ((frame * 960 + at) as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin() * 0.3)
                .collect();
            let mut out = [0; 1275];
            let length = encoder.encode_float(&pcm, &mut out).unwrap();
            out[..length].to_vec()
        })
        .collect()
}

/// How much of a tone there is in samples, 0 to 1; looked at in pieces, since a jitter buffer may stretch them.
fn share(pcm: &[f32], hertz: f32, rate: f32) -> f32 {
    let piece = (rate * 0.02) as usize;
    let (mut found, mut all) = (0.0, 1e-9);
    for pcm in pcm.chunks_exact(piece) {
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (at, sample) in pcm.iter().enumerate() {
            let angle = at as f32 * hertz * std::f32::consts::TAU / rate;
            sine += sample * angle.sin();
            cosine += sample * angle.cos();
            all += sample * sample;
        }
        found += 2.0 * (sine * sine + cosine * cosine) / piece as f32;
    }
    found / all
}

fn decoded<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<f32> {
    let mut decoder = Decoder::new(48_000, 1).unwrap();
    let mut out = Vec::new();
    for payload in payloads {
        let mut frame = [0.0; 5760];
        let count = decoder.decode_float(payload, &mut frame).unwrap();
        out.extend_from_slice(&frame[..count]);
    }
    out
}

#[test]
fn a_relay_forwards_packets_untouched() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    let slots = Event::Slots { id: bob.id, slots: vec![(bob.mids[0].to_string(), Some(ann.id))] };
    server.until(&mut [&mut ann, &mut bob], "a stream for Ann", |events, _| events.contains(&slots));
    let said = tone(440.0, 40);
    for packet in &said {
        ann.speak(packet, 20);
        server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(5));
    }
    server.until(&mut [&mut ann, &mut bob], "all packets", |_, clients| clients[1].packets.len() == said.len());
    for (packet, said) in bob.packets.iter().zip(&said) {
        assert_eq!(&packet.payload[..], &said[..]);
        assert_eq!(packet.header.ext_vals.audio_level, Some(-20));
    }
    let steps = bob.packets.windows(2).all(|pair| {
        pair[1].header.sequence_number == pair[0].header.sequence_number.wrapping_add(1)
            && pair[1].header.timestamp == pair[0].header.timestamp.wrapping_add(960)
    });
    assert!(steps);
    assert!(ann.packets.is_empty(), "nobody hears their own voice");
    assert!(server.events.contains(&Event::Speaking { id: ann.id, active: true }));
}

#[test]
fn packets_that_take_no_turn_of_their_session_arrive_like_all_others() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    let slots = Event::Slots { id: bob.id, slots: vec![(bob.mids[0].to_string(), Some(ann.id))] };
    server.until(&mut [&mut ann, &mut bob], "a stream for Ann", |events, _| events.contains(&slots));
    let said = tone(440.0, 1);
    let (mut spoken, mut sealed) = (0, 0);
    // They begin with the receiver's first report.
    while sealed < 150 {
        assert!(spoken < 6_000, "{sealed} of {spoken} packets took no turn");
        for _ in 0..50 {
            ann.speak(&said[0], 20);
            spoken += 1;
            server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(3));
        }
        server.engine.stats(bob.id).unwrap();
        server.until(&mut [&mut ann, &mut bob], "figures", |events, _| {
            let figures = events.iter().rev().find_map(|event| match event {
                Event::Stats { stats, .. } if stats.packets_sent == spoken => Some(stats.sealed_apart),
                _ => None,
            });
            sealed = figures.unwrap_or(sealed);
            figures.is_some()
        });
        // Another path, and keys that may be new, in the middle of it all.
        if (1..50).contains(&sealed) {
            let offer = bob.restart();
            server.engine.offer(bob.id, offer).unwrap();
            let answer = server.answer(bob.id).unwrap();
            bob.answer(&answer);
            server.until(&mut [&mut bob], "back", |_, clients| clients[0].rtc.is_connected());
        }
    }
    server.until(&mut [&mut ann, &mut bob], "all", |_, clients| clients[1].packets.len() == spoken as usize);
    let steps = bob.packets.windows(2).all(|pair| {
        pair[1].header.sequence_number == pair[0].header.sequence_number.wrapping_add(1)
            && pair[1].header.timestamp == pair[0].header.timestamp.wrapping_add(960)
    });
    assert!(steps);
    for packet in &bob.packets {
        assert_eq!(&packet.payload[..], &said[0][..]);
        assert_eq!(
            (packet.header.ext_vals.audio_level, packet.header.ext_vals.voice_activity),
            (Some(-20), Some(true))
        );
    }
}

#[test]
fn a_line_that_rests_for_a_while_uses_no_number_twice() {
    let mut server = server();
    let room = server.room(RoomMode::Mix);
    let (mut ann, mut bob) = server.pair(room);
    let said = tone(440.0, 1);
    let mut hear = |server: &mut Server, bob: &mut Client| {
        let heard = bob.packets.len();
        server.until(&mut [&mut ann, bob], "the mix", |_, clients| {
            clients[0].speak(&said[0], 20);
            clients[1].packets.len() > heard + 20
        });
    };
    hear(&mut server, &mut bob);
    for direction in [Direction::SendOnly, Direction::SendRecv] {
        let offer = bob.turn(direction);
        server.engine.offer(bob.id, offer).unwrap();
        let answer = server.answer(bob.id).unwrap();
        bob.answer(&answer);
        server.pass(&mut [&mut bob], Duration::from_millis(100));
    }
    hear(&mut server, &mut bob);
    server.engine.stats(bob.id).unwrap();
    let mut sent = 0;
    server.until(&mut [&mut bob], "figures", |events, _| {
        sent = events
            .iter()
            .map(|event| if let Event::Stats { stats, .. } = event { stats.packets_sent } else { 0 })
            .sum();
        sent > 0
    });
    // A packet whose number has been there is thrown away where it comes.
    server.pass(&mut [&mut bob], Duration::from_millis(60));
    assert!(bob.packets.len() as u64 >= sent, "{} of {sent}", bob.packets.len());
    let steps = bob.packets.windows(2).map(|pair| *pair[1].seq_no - *pair[0].seq_no);
    assert_eq!(steps.max(), Some(1));
}

#[test]
fn each_speaker_has_a_stream_where_there_are_enough() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob, mut cyd) = (Client::new(0), Client::new(0), Client::new(2));
    for client in [&mut ann, &mut bob, &mut cyd] {
        server.join(room, client);
    }
    let (low, high) = (tone(300.0, 30), tone(900.0, 30));
    let mut clients = [&mut ann, &mut bob, &mut cyd];
    server.pass(&mut clients, Duration::from_millis(60));
    for (low, high) in low.iter().zip(&high) {
        clients[0].speak(low, 20);
        clients[1].speak(high, 20);
        server.pass(&mut clients, Duration::from_millis(3));
    }
    server.until(&mut clients, "both", |_, clients| clients[2].packets.len() == 60);
    let mut sources: Vec<u32> = cyd.packets.iter().map(|packet| *packet.header.ssrc).collect();
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 2);
}

#[test]
fn in_a_mix_everybody_hears_the_others() {
    let mut server = server();
    let room = server.room(RoomMode::Mix);
    let (mut ann, mut bob, mut cyd) = (Client::new(0), Client::new(0), Client::new(0));
    for client in [&mut ann, &mut bob, &mut cyd] {
        server.join(room, client);
    }
    let (low, high) = (tone(300.0, 75), tone(900.0, 75));
    let mut clients = [&mut ann, &mut bob, &mut cyd];
    for (low, high) in low.iter().zip(&high) {
        clients[0].speak(low, 20);
        clients[1].speak(high, 20);
        server.pass(&mut clients, Duration::from_millis(20));
    }
    let heard: Vec<Vec<f32>> = clients
        .iter()
        .map(|client| {
            let pcm = decoded(client.packets.iter().map(|packet| &packet.payload[..]));
            // Of the middle, where both are in full voice.
            let end = pcm.len().min(70 * 960);
            pcm[end - 24_000..end].to_vec()
        })
        .collect();
    let shares: Vec<(f32, f32)> =
        heard.iter().map(|pcm| (share(pcm, 300.0, 48_000.0), share(pcm, 900.0, 48_000.0))).collect();
    assert!(shares[0].0 < 0.05 && shares[0].1 > 0.7, "Ann hears Bob alone: {shares:?}");
    assert!(shares[1].0 > 0.7 && shares[1].1 < 0.05, "Bob hears Ann alone: {shares:?}");
    assert!(shares[2].0 > 0.25 && shares[2].1 > 0.25, "Cyd hears both: {shares:?}");
}

#[test]
fn whoever_is_muted_is_not_heard() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    server.engine.mute(ann.id, true).unwrap();
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    for packet in tone(440.0, 10) {
        ann.speak(&packet, 20);
    }
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(100));
    assert!(bob.packets.is_empty());
    server.engine.mute(ann.id, false).unwrap();
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    ann.speak(&tone(440.0, 1)[0], 20);
    server.until(&mut [&mut ann, &mut bob], "heard again", |_, clients| clients[1].packets.len() == 1);
}

#[test]
fn redundant_audio_goes_on_as_it_is_and_fills_gaps_where_it_is_decoded() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    server.engine.tap(ann.id, 16_000).unwrap();
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    let said = tone(440.0, 60);
    let opus = 111;
    let mut before: Vec<u8> = Vec::new();
    for (at, packet) in said.iter().enumerate() {
        if at % 5 == 4 {
            // The network loses it; the next one brings it again.
            ann.sequence_lost();
            before.clone_from(packet);
            server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(20));
            continue;
        }
        let mut redundant = Vec::new();
        if !before.is_empty() {
            redundant.extend_from_slice(&[0x80 | opus, 0x0F, (before.len() >> 8) as u8, before.len() as u8]);
        }
        redundant.push(opus);
        redundant.extend_from_slice(&before);
        redundant.extend_from_slice(packet);
        ann.speak_redundantly(&redundant, 20);
        before.clone_from(packet);
        server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(20));
    }
    assert!(bob.packets.iter().all(|packet| packet.payload[0] & 0x7F == opus));
    let pcm: Vec<f32> = server
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Tap { id, pcm } if *id == ann.id => Some(pcm),
            _ => None,
        })
        .flat_map(|pcm| pcm.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0))
        .collect();
    assert!(pcm.len() >= 8_000);
    assert!(share(&pcm[pcm.len() - 4_000..], 440.0, 16_000.0) > 0.8);
}

#[test]
fn somebody_without_webrtc_speaks_and_hears() {
    for mode in [RoomMode::Relay, RoomMode::Mix] {
        let mut server = server();
        let room = server.room(mode);
        let mut ann = Client::new(0);
        server.join(room, &mut ann);
        let input = LocalInput::Pcm { sample_rate: 16_000, channels: 1 };
        let output = LocalOutput::Pcm16 { sample_rate: 16_000, channels: 1 };
        let player = server.engine.join_local(room, Some(input), Some(output)).unwrap();
        let said = tone(900.0, 75);
        for (at, packet) in said.iter().enumerate() {
            ann.speak(packet, 20);
            let pcm: Vec<u8> = (0..320)
                .map(|n| ((at * 320 + n) as f32 * 300.0 * std::f32::consts::TAU / 16_000.0).sin() * 9_000.0)
                .flat_map(|sample| (sample as i16).to_le_bytes())
                .collect();
            server.engine.push(player, pcm).unwrap();
            server.pass(&mut [&mut ann], Duration::from_millis(20));
        }
        let pcm = decoded(ann.packets.iter().map(|packet| &packet.payload[..]));
        assert!(share(&pcm[pcm.len() - 24_000..], 300.0, 48_000.0) > 0.7, "{mode:?}");
        let pcm: Vec<f32> = server
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Audio { id, payload } if *id == player => Some(payload),
                _ => None,
            })
            .flat_map(|pcm| pcm.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]]))))
            .collect();
        assert!(share(&pcm[pcm.len() - 8_000..], 900.0, 16_000.0) > 0.7, "{mode:?}");
    }
}

#[test]
fn somebody_without_webrtc_chooses_the_bitrate_of_what_they_hear() {
    for mode in [RoomMode::Relay, RoomMode::Mix] {
        let mut server = server();
        let room = server.room(mode);
        let mut ann = Client::new(0);
        server.join(room, &mut ann);
        let config = EncoderConfig { bitrate: 64_000, dtx: false, vbr: false, ..EncoderConfig::default() };
        let player = server.engine.join_local(room, None, Some(LocalOutput::Opus(config))).unwrap();
        let said = tone(900.0, 25);
        for bitrate in [64_000, 16_000] {
            server.engine.set_bitrate(player, bitrate + 1).unwrap();
            let mut turn = 0;
            server.until(&mut [&mut ann], "packets of that size", |events, clients| {
                clients[0].speak(&said[turn % said.len()], 20);
                turn += 1;
                let last = events.iter().rev().find_map(|event| match event {
                    Event::Audio { id, payload } if *id == player => Some(payload.len()),
                    _ => None,
                });
                last == Some(bitrate as usize / 400)
            });
        }
    }
}

#[test]
fn threads_share_one_port() {
    let mut server = Server::new(&EngineConfig { threads: 3, ..EngineConfig::default() });
    let rooms: Vec<_> = (0..3).map(|_| server.room(RoomMode::Relay)).collect();
    let mut pairs: Vec<(Client, Client)> = Vec::new();
    for room in rooms {
        let (mut ann, mut bob) = (Client::new(0), Client::new(0));
        server.join(room, &mut ann);
        server.join(room, &mut bob);
        pairs.push((ann, bob));
    }
    for (ann, bob) in &mut pairs {
        server.pass(&mut [ann, bob], Duration::from_millis(60));
        ann.speak(&tone(440.0, 1)[0], 20);
        server.until(&mut [ann, bob], "heard", |_, clients| clients[1].packets.len() == 1);
    }
}

#[test]
fn tcp_carries_it_where_udp_is_shut() {
    let mut server = Server::new(&EngineConfig { threads: 2, ..EngineConfig::default() });
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::over_tcp(&server.engine, 0);
    let mut bob = Client::over_tcp(&server.engine, 0);
    server.join(room, &mut ann);
    server.join(room, &mut bob);
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    for packet in tone(440.0, 20) {
        ann.speak(&packet, 20);
    }
    server.until(&mut [&mut ann, &mut bob], "heard", |_, clients| clients[1].packets.len() == 20);
}

#[test]
fn messages_go_both_ways() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::new(0);
    server.join(room, &mut ann);
    ann.say("{\"type\":\"ping\"}");
    let said = Event::Message { id: ann.id, text: "{\"type\":\"ping\"}".into() };
    server.until(&mut [&mut ann], "a message", |events, _| events.contains(&said));
    server.engine.say(ann.id, "{\"type\":\"pong\"}".into()).unwrap();
    server.until(&mut [&mut ann], "an answer", |_, clients| clients[0].messages == ["{\"type\":\"pong\"}"]);
}

#[test]
fn a_client_goes_on_from_another_address() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let (mut ann, mut bob) = server.pair(room);
    server.pass(&mut [&mut ann, &mut bob], Duration::from_millis(60));
    let offer = ann.restart();
    server.engine.offer(ann.id, offer).unwrap();
    let answer = server.answer(ann.id).unwrap();
    ann.answer(&answer);
    let said = tone(440.0, 1);
    server.until(&mut [&mut ann, &mut bob], "heard from there", |_, clients| {
        clients[0].speak(&said[0], 20);
        clients[1].packets.len() > 3
    });
    assert!(!server.events.iter().any(|event| matches!(event, Event::Closed { .. })));
}

#[test]
fn a_closed_room_closes_everybody_once() {
    let mut server = server();
    let room = server.room(RoomMode::Mix);
    let mut ann = Client::new(0);
    server.join(room, &mut ann);
    let player = server.engine.join_local(room, None, Some(LocalOutput::Pcmu)).unwrap();
    server.engine.close_room(room).unwrap();
    server.pass(&mut [&mut ann], Duration::from_millis(100));
    let closed =
        |id| server.events.iter().filter(|event| matches!(event, Event::Closed { id: of, .. } if *of == id)).count();
    assert_eq!((closed(ann.id), closed(player)), (1, 1));
    assert!(!ann.rtc.is_alive() || ann.rtc.is_connected());
}

#[test]
fn options_out_of_range_are_refused_at_once() {
    let server = server();
    for options in [
        RoomOptions { tick_ms: 15, ..RoomOptions::default() },
        RoomOptions { bitrate: 10, ..RoomOptions::default() },
        RoomOptions { complexity: 11, ..RoomOptions::default() },
    ] {
        assert!(server.engine.open_room(options.clone()).is_err(), "{options:?}");
    }
}

#[test]
fn a_speaker_without_webrtc_is_told_by_loudness() {
    let mut server = server();
    let room = server.room(RoomMode::Mix);
    let input = LocalInput::Pcm { sample_rate: 16_000, channels: 1 };
    let (still, loud) = [(); 2].map(|()| server.engine.join_local(room, Some(input), None).unwrap()).into();
    for turn in 0..25 {
        let faint: Vec<u8> = (0..320).flat_map(|n| ((n + turn) as i16 % 3).to_le_bytes()).collect();
        let voice: Vec<u8> = (0..320_i16).flat_map(|n| ((n % 40 - 20) * 400).to_le_bytes()).collect();
        server.engine.push(still, faint).unwrap();
        server.engine.push(loud, voice).unwrap();
        server.pass(&mut [], Duration::from_millis(20));
    }
    assert!(server.events.contains(&Event::Speaking { id: loud, active: true }));
    assert!(!server.events.contains(&Event::Speaking { id: still, active: true }));
}

#[test]
fn a_listener_of_whom_nothing_came_is_told_when_it_is_back() {
    let mut server = server();
    let room = server.room(RoomMode::Relay);
    let mut ann = Client::new(0);
    server.join(room, &mut ann);
    let id = ann.id;
    server.until(&mut [], "nothing comes", |events, _| events.contains(&Event::Disconnected(id)));
    let gone = server.events.iter().position(|event| *event == Event::Disconnected(id)).unwrap();
    // Not a word is said: that the connection is alive is enough.
    server.until(&mut [&mut ann], "back", |events, _| events[gone..].contains(&Event::Connected(id)));
}
