//! The room of packets, as its listeners hear it.

mod hearing;
mod sequences;
mod sharing;
mod splicing;
mod support;
