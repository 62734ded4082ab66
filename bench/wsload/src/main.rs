//! Many WebSocket listeners in one thread, for `bench.listeners`.
//!
//! `wsload listen PORT TARGET COUNT` connects so many and tells of it in a JSON line. Then it takes lines: `begin` counts
//! from there on, `end MICROSECONDS` (what a packet lasts) tells what was counted; the end of the input ends it.
//! `wsload floor PACKETS PORT` is the least that a server can do: a thread that sends every 20 ms the same bytes to all.

mod figures;
mod floor;
mod listener;

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};

use figures::Seen;
use listener::Listener;

const USAGE: &str = "usage: wsload listen PORT TARGET COUNT, or wsload floor PACKETS PORT";
const INPUT: Token = Token(usize::MAX);
/// Connections that shake hands at the same time.
const AT_ONCE: usize = 16;
/// How long packets gather before they are looked at; the kernel says when each came. Listeners are elsewhere, and wake
/// nobody on the server's machine: here each wake-up would be paid for by the server's call that sends.
const GATHERING: Duration = Duration::from_millis(1);

fn listen(port: u16, target: &str, count: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&0), INPUT, Interest::READABLE)?;
    let mut listeners: Vec<Listener> = Vec::with_capacity(count);
    let mut events = Events::with_capacity(1024);
    let mut seen = Seen::new(count);
    while listeners.len() < count {
        let batch: Vec<_> =
            (0..AT_ONCE.min(count - listeners.len())).map(|_| Listener::ask(port, target)).collect::<Result<_, _>>()?;
        for mut listener in batch {
            listener.shake_hands()?;
            let token = Token(listeners.len());
            poll.registry().register(&mut SourceFd(&listener.fd()), token, Interest::READABLE)?;
            listeners.push(listener);
        }
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in events.iter().filter(|event| event.token() != INPUT) {
            listeners[event.token().0].read(event.token().0, &mut seen)?;
        }
    }
    tell(&format!(r#"{{"connected": {count}}}"#))?;
    let mut input = Vec::new();
    loop {
        std::thread::sleep(GATHERING);
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == INPUT {
                let mut piece = [0; 1024];
                let length = io::stdin().read(&mut piece)?;
                if length == 0 {
                    return Ok(());
                }
                input.extend_from_slice(&piece[..length]);
                continue;
            }
            listeners[event.token().0].read(event.token().0, &mut seen)?;
        }
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            match String::from_utf8_lossy(&line).split_whitespace().collect::<Vec<_>>()[..] {
                ["begin"] => {
                    seen.begin();
                    tell(r#"{"begun": true}"#)?;
                }
                ["end", frame] => tell(&seen.end(frame.parse().map_err(io::Error::other)?))?,
                _ => return Err(io::Error::other("begin, or end MICROSECONDS")),
            }
        }
    }
}

fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["listen", port, target, count] => match (port.parse(), count.parse()) {
            (Ok(port), Ok(count)) => listen(port, target, count),
            _ => Err(io::Error::other(USAGE)),
        },
        ["floor", packets, port] => port.parse().map_err(io::Error::other).and_then(|port| floor::serve(packets, port)),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // whoever waits for a line gets one
            let _ = tell(&format!(r#"{{"error": {:?}}}"#, error.to_string()));
            ExitCode::FAILURE
        }
    }
}
