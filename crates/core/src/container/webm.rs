//! WebM
