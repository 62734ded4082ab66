/// What can go wrong in the media plane. A bug is a panic; everything that input can cause is one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that does not exist: the message lists what does.
    #[error("{0}")]
    Unsupported(String),
    /// Bytes that are not what they should be.
    #[error("byte {at}: {what}")]
    Malformed {
        /// Where, counted from the start of the stream or packet.
        at: u64,
        /// What was wrong there.
        what: String,
    },
    /// A limit that keeps memory bounded was reached.
    #[error("{0}")]
    TooLarge(String),
}

impl Error {
    /// Malformed bytes at `at`.
    pub fn malformed(at: u64, what: impl Into<String>) -> Self {
        Self::Malformed { at, what: what.into() }
    }

    /// Something that isn't offered; `what` should list what is.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
