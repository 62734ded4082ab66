//! What a shard is asked to do.

use std::{net::SocketAddr, time::Instant};

use crate::{
    MemberId, RoomId,
    config::{LocalInput, LocalOutput, RoomOptions},
};

pub(crate) enum Command {
    OpenRoom {
        room: RoomId,
        options: RoomOptions,
    },
    CloseRoom {
        room: RoomId,
    },
    Join {
        room: RoomId,
        id: MemberId,
        offer: String,
        publish: bool,
        listen: bool,
    },
    Offer {
        id: MemberId,
        offer: String,
    },
    Candidate {
        id: MemberId,
        candidate: String,
    },
    JoinLocal {
        room: RoomId,
        id: MemberId,
        input: Option<LocalInput>,
        output: Option<LocalOutput>,
    },
    Push {
        id: MemberId,
        audio: Vec<u8>,
        arrived: Instant,
    },
    Leave {
        id: MemberId,
    },
    Mute {
        id: MemberId,
        muted: bool,
    },
    Tap {
        id: MemberId,
        sample_rate: u32,
    },
    Untap {
        id: MemberId,
    },
    Send {
        id: MemberId,
        text: String,
    },
    SetBitrate {
        id: MemberId,
        bitrate: u32,
    },
    Stats {
        id: MemberId,
    },
    /// A datagram that came to another shard's socket.
    Datagram {
        from: SocketAddr,
        arrived: Instant,
        bytes: Vec<u8>,
    },
    /// A connection that was made to another shard's listener, and what it has sent.
    Connection {
        stream: std::net::TcpStream,
        from: SocketAddr,
        incoming: Vec<u8>,
    },
    Stop,
}
