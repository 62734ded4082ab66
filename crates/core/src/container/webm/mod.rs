//! WebM, and Matroska with Opus in it (RFC 9559): a demuxer for streams.

mod block;
mod demux;
mod landmark;
mod tracks;

pub use demux::WebmDemuxer;

/// Identifiers of elements (RFC 9559 §5.1), with their length markers.
mod id {
    pub(super) const EBML: u32 = 0x1A45_DFA3;
    pub(super) const DOC_TYPE: u32 = 0x4282;
    pub(super) const VOID: u32 = 0xEC;
    pub(super) const CRC: u32 = 0xBF;
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const SEEK_HEAD: u32 = 0x114D_9B74;
    pub(super) const INFO: u32 = 0x1549_A966;
    pub(super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub(super) const TRACKS: u32 = 0x1654_AE6B;
    pub(super) const CUES: u32 = 0x1C53_BB6B;
    pub(super) const ATTACHMENTS: u32 = 0x1941_A469;
    pub(super) const CHAPTERS: u32 = 0x1043_A770;
    pub(super) const TAGS: u32 = 0x1254_C367;
    pub(super) const CLUSTER: u32 = 0x1F43_B675;
    pub(super) const TIMESTAMP: u32 = 0xE7;
    pub(super) const SILENT_TRACKS: u32 = 0x5854;
    pub(super) const POSITION: u32 = 0xA7;
    pub(super) const PREV_SIZE: u32 = 0xAB;
    pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(super) const ENCRYPTED_BLOCK: u32 = 0xAF;
    pub(super) const BLOCK_GROUP: u32 = 0xA0;
    pub(super) const BLOCK: u32 = 0xA1;
    pub(super) const DISCARD_PADDING: u32 = 0x75A2;
    pub(super) const TRACK_ENTRY: u32 = 0xAE;
    pub(super) const TRACK_NUMBER: u32 = 0xD7;
    pub(super) const TRACK_TYPE: u32 = 0x83;
    pub(super) const CODEC_ID: u32 = 0x86;
    pub(super) const CODEC_PRIVATE: u32 = 0x63A2;
    pub(super) const CODEC_DELAY: u32 = 0x56AA;
    pub(super) const AUDIO: u32 = 0xE1;
    pub(super) const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub(super) const CHANNELS: u32 = 0x9F;
    pub(super) const CONTENT_ENCODINGS: u32 = 0x6D80;
}
