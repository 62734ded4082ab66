//! Ogg
