//! A mixed room between its networks.

mod anything;
mod hearing;
mod local;
mod losing;
mod support;
mod tapping;
mod waking;
