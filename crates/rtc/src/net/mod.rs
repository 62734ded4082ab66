//! Sockets: datagrams in batches, and frames over TCP.

pub(crate) mod batch;
pub(crate) mod tcp;
pub(crate) mod udp;
