//! The least that a server can do: the same bytes to all, every 20 ms.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

/// Serves the packets of a file, each after its length in two bytes.
pub fn serve(packets: &str, port: u16) -> io::Result<()> {
    let frames = frames(&std::fs::read(packets)?);
    let door = TcpListener::bind(("127.0.0.1", port))?;
    door.set_nonblocking(true)?;
    let mut connections: Vec<TcpStream> = Vec::new();
    let mut next = Instant::now();
    for frame in frames.iter().cycle() {
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            match door.accept() {
                Ok((stream, _)) => connections.extend(answered(stream).ok()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(left.min(EVERY / 4)),
                Err(error) => return Err(error),
            }
        }
        next += EVERY;
        connections.retain_mut(|stream| matches!(stream.write(frame), Ok(count) if count == frame.len()));
    }
    Ok(())
}

fn frames(mut packets: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = packets.split_first_chunk() {
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        let mut frame =
            if packet.len() < 126 { vec![0x82, packet.len() as u8] } else { vec![0x82, 126, length[0], length[1]] };
        frame.extend_from_slice(packet);
        frames.push(frame);
        packets = rest;
    }
    frames
}

/// Lets a client believe that this is a WebSocket server.
fn answered(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    // RFC 6455, section 1.3: the answer to the key that the load sends.
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
