//! The least that sending costs: packets of one size from one socket to many, in bursts, without anything else.

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::net::{Outgoing, Socket};

const INTERVAL: Duration = Duration::from_millis(20);

/// Send to all of the addresses every 20 ms, until standard input ends: `ROOMS SIZE BATCH`, then the addresses. The first line of
/// standard input says to begin.
///
/// Each of the rooms is an equal share of the addresses, and they take turns within the interval. `BATCH` is how many
/// packets a system call moves.
pub fn send(arguments: &[String]) -> Result<(), String> {
    let [rooms, size, batch, addresses @ ..] = arguments else {
        return Err("floor: ROOMS SIZE BATCH ADDRESS:PORT ...".into());
    };
    let number = |text: &String| text.parse::<usize>().ok().filter(|&n| n > 0).ok_or(format!("no number: {text}"));
    let (rooms, size, batch) = (number(rooms)?, number(size)?, number(batch)?);
    let packets = addresses
        .iter()
        .map(|text| {
            let destination: SocketAddrV4 = text.parse().map_err(|_| format!("no address: {text}"))?;
            // Version 2, payload type 111: the receiver counts it as RTP.
            let data = [0x80, 111].into_iter().chain([0; 10]).chain(std::iter::repeat(0)).take(size).collect();
            Ok(Outgoing { source: Ipv4Addr::LOCALHOST, destination, data })
        })
        .collect::<Result<Vec<Outgoing<Vec<u8>>>, String>>()?;
    let (begun, begin) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || begun.send(()).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    if begin.recv().is_err() {
        return Ok(());
    }
    let socket = Socket::new(Ipv4Addr::UNSPECIFIED).map_err(|error| error.to_string())?;
    let start = Instant::now();
    let share = packets.len().div_ceil(rooms);
    for turn in 0_u32.. {
        let due = start + INTERVAL * turn / rooms as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let room = turn as usize % rooms;
        let burst = packets.iter().skip(room * share).take(share);
        let burst: Vec<Outgoing<&[u8]>> = burst
            .map(|packet| Outgoing {
                source: packet.source,
                destination: packet.destination,
                data: packet.data.as_slice(),
            })
            .collect();
        socket.send(&burst, batch).map_err(|error| error.to_string())?;
    }
    Ok(())
}
