//! SRTP for packets that are sent without a turn of the session (RFC 3711, AES-GCM by RFC 7714).
//!
//! A session has to be driven after every packet, which for one speaker's packet to many listeners costs more than all
//! the rest. So the session's ciphers are watched: once a session has sealed a packet of a stream, the next ones are
//! sealed here with the same key, and the session only gets one now and then. Numbers are the caller's, who uses each
//! once; only a number above all before is sealed here, so that no nonce comes twice.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, CryptoProvider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80, from_feature_flags,
};

use crate::room::Place;

const TAG: usize = 16;
/// Longest header that is written here: fixed part, extension's head, one word of extensions.
const LONGEST_HEADER: usize = 20;
/// Packets of a stream that are sealed without the session, before it gets one: a second's. Its reports follow from it.
const MOST_APART: u32 = 50;
/// Bytes of an RTCP packet's head that are sent in the clear (RFC 7714, section 9).
const RTCP_CLEAR: usize = 8;
/// Packet type of a sender report (RFC 3550, section 6.4.1).
const SENDER_REPORT: u8 = 200;

thread_local! {
    /// The RTP packet that was sealed last on this thread.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
    /// What the session that has its turn did not send itself.
    static APART: Cell<Vec<Apart>> = const { Cell::new(Vec::new()) };
}

static WATCHED: OnceLock<Watched> = OnceLock::new();

/// The provider of all ciphers, with those of AES-GCM watched.
pub(crate) fn provider() -> CryptoProvider {
    let provider = from_feature_flags();
    let inner = provider.srtp_provider;
    let watched = WATCHED.get_or_init(|| Watched { inner, short: Gcm128(inner), long: Gcm256(inner) });
    CryptoProvider { srtp_provider: watched, ..provider }
}

/// What was sent of a stream without its session, which its sender reports are to count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Apart {
    ssrc: u32,
    packets: u32,
    octets: u32,
}

impl Apart {
    /// Packets.
    pub(crate) fn counted(&self) -> u64 {
        self.packets.into()
    }
}

/// Gives a session its turn, with what its reports have to count besides.
pub(crate) fn counting<T>(apart: &mut Vec<Apart>, turn: impl FnOnce() -> T) -> T {
    APART.set(std::mem::take(apart));
    let result = turn();
    *apart = APART.take();
    result
}

/// Counts a packet that was sent without its session.
pub(crate) fn count(apart: &mut Vec<Apart>, ssrc: u32, octets: usize) {
    let found = apart.iter().position(|one| one.ssrc == ssrc).unwrap_or_else(|| {
        apart.push(Apart { ssrc, packets: 0, octets: 0 });
        apart.len() - 1
    });
    let one = &mut apart[found];
    one.packets = one.packets.wrapping_add(1);
    one.octets = one.octets.wrapping_add(octets as u32);
}

/// What a packet's header says, beside the stream's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) payload_type: u8,
    pub(crate) place: Place,
    /// The extension of RFC 6464: its number, and what it says.
    pub(crate) level: Option<(u8, u8)>,
}

/// A stream of a session, as it is sealed without it.
pub(crate) struct Stream {
    key: Key,
    salt: [u8; NONCE_LEN],
    ssrc: u32,
    to: SocketAddr,
    /// Highest number that was sealed, here or by the session.
    newest: u64,
    left: u32,
}

impl Stream {
    /// The SSRC.
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets until its session gets one.
    pub(crate) fn left(&self) -> u64 {
        self.left.into()
    }

    /// Reads where the key lies.
    pub(crate) fn touch_key(&self) -> u64 {
        self.key.0.algorithm().key_len() as u64
    }

    /// Where its packets go.
    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    /// Appends a packet, sealed; `None` where the session has to.
    pub(crate) fn seal(&mut self, head: &Head, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if head.place.sequence <= self.newest || self.left == 0 {
            return None;
        }
        self.write(head, payload, out)?;
        self.newest = head.place.sequence;
        self.left -= 1;
        Some(())
    }

    fn write(&self, head: &Head, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0; LONGEST_HEADER];
        let header = header(head, self.ssrc, &mut buffer);
        out.reserve(header.len() + payload.len() + TAG);
        out.extend_from_slice(header);
        let body = out.len();
        out.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(nonce(self.salt, self.ssrc, head.place.sequence));
        let tag = self.key.0.seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[body..]).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(())
    }
}

/// Forgets what was sealed before.
pub(crate) fn forget() {
    SEEN.take();
}

/// A stream by the packet that its session has just sealed, where it was this one and is as it would be made here.
///
/// `find` tells where a datagram of these bytes went, and all of it.
pub(crate) fn learn<'a>(
    head: &Head,
    payload: &[u8],
    newest: u64,
    find: impl FnOnce(&[u8]) -> Option<(SocketAddr, &'a [u8])>,
) -> Option<Stream> {
    let seen = SEEN.take()?;
    let bytes = &seen.header[..seen.length];
    let ssrc = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    let mut buffer = [0; LONGEST_HEADER];
    // Not yet where it has more in it, such as the stream's name before the receiver has reported on it.
    if *bytes != *header(head, ssrc, &mut buffer) {
        return None;
    }
    let (to, datagram) = find(bytes)?;
    // XOR is its own inverse.
    let salt = nonce(seen.nonce, ssrc, head.place.sequence);
    let newest = newest.max(head.place.sequence);
    let stream = Stream { key: seen.key, salt, ssrc, to, newest, left: MOST_APART };
    debug_assert!(
        {
            let mut sealed = Vec::new();
            stream.write(head, payload, &mut sealed).is_some() && sealed == datagram
        },
        "both seal alike"
    );
    Some(stream)
}

/// The header as sessions write it, with an extension's head even where it is empty.
fn header<'a>(head: &Head, ssrc: u32, out: &'a mut [u8; LONGEST_HEADER]) -> &'a [u8] {
    let &Head { payload_type, place, level } = head;
    out[0] = 0x90;
    out[1] = payload_type & 0x7F | u8::from(place.first) << 7;
    out[2..4].copy_from_slice(&(place.sequence as u16).to_be_bytes());
    out[4..8].copy_from_slice(&place.timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
    // One-byte extensions (RFC 8285, section 4.2).
    out[12..16].copy_from_slice(&[0xBE, 0xDE, 0, level.is_some().into()]);
    let Some((number, level)) = level else { return &out[..16] };
    out[16..20].copy_from_slice(&[number << 4, level, 0, 0]);
    &out[..20]
}

/// The nonce of a packet with this number (RFC 7714, section 8.1).
fn nonce(salt: [u8; NONCE_LEN], ssrc: u32, sequence: u64) -> [u8; NONCE_LEN] {
    let mut nonce = salt;
    // Two bytes of zeroes, the SSRC, and the number's lowest 48 bits: roll-over counter and sequence number.
    let count = sequence.to_be_bytes();
    for (byte, other) in nonce[2..].iter_mut().zip(ssrc.to_be_bytes().iter().chain(&count[2..])) {
        *byte ^= other;
    }
    nonce
}

#[derive(Clone)]
struct Key(Arc<LessSafeKey>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// An RTP packet that a session has sealed.
struct Seen {
    key: Key,
    nonce: [u8; NONCE_LEN],
    header: [u8; LONGEST_HEADER],
    length: usize,
}

/// A session's cipher, for sealing.
#[derive(Debug)]
struct Sealing {
    key: Key,
}

impl Sealing {
    fn new(algorithm: &'static Algorithm, key: &[u8]) -> Result<Self, CryptoError> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| CryptoError::Other("a key of a wrong length".into()))?;
        Ok(Self { key: Key(Arc::new(LessSafeKey::new(key))) })
    }

    fn seal(&self, iv: [u8; NONCE_LEN], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let body = &mut output[..input.len()];
        body.copy_from_slice(input);
        // RFC 5761, section 4: no payload type is one of RTCP's.
        if aad.get(1).is_some_and(|kind| (64..=95).contains(&(kind & 0x7F))) {
            APART.with(|apart| {
                let counted = apart.take();
                correct(aad, body, &counted);
                apart.set(counted);
            });
        } else {
            self.show(iv, aad);
        }
        let tag = self
            .key
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(aad), body)
            .map_err(|_| CryptoError::Other("a packet could not be sealed".into()))?;
        output[input.len()..input.len() + TAG].copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn show(&self, nonce: [u8; NONCE_LEN], aad: &[u8]) {
        let mut header = [0; LONGEST_HEADER];
        let seen = header.get_mut(..aad.len()).map(|place| place.copy_from_slice(aad));
        let key = self.key.clone();
        SEEN.set(seen.map(|()| Seen { key, nonce, header, length: aad.len() }));
    }
}

/// Adds to the counts of sender reports what their session did not send itself.
///
/// The first packet's head is in `clear`, all else of the compound in `rest`.
fn correct(clear: &[u8], rest: &mut [u8], apart: &[Apart]) {
    if apart.is_empty() || clear.len() < RTCP_CLEAR {
        return;
    }
    let word = |at: usize, rest: &[u8]| -> Option<u32> {
        let bytes =
            if at < RTCP_CLEAR { clear.get(at..at + 4)? } else { rest.get(at - RTCP_CLEAR..at - RTCP_CLEAR + 4)? };
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let mut at = 0;
    while let (Some(head), Some(ssrc)) = (word(at, rest), word(at + 4, rest)) {
        if (head >> 16) as u8 == SENDER_REPORT
            && let Some(more) = apart.iter().find(|one| one.ssrc == ssrc)
        {
            for (place, more) in [(at + 20, more.packets), (at + 24, more.octets)] {
                if let Some(count) = word(place, rest) {
                    let count = count.wrapping_add(more).to_be_bytes();
                    rest[place - RTCP_CLEAR..place - RTCP_CLEAR + 4].copy_from_slice(&count);
                }
            }
        }
        at += 4 * (1 + (head & 0xFFFF) as usize);
    }
}

/// Nothing is opened with a cipher for sealing.
fn one_way() -> CryptoError {
    CryptoError::Other("this cipher seals only".into())
}

impl AeadAes128GcmCipher for Sealing {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(*iv, aad, input, output)
    }

    fn decrypt(&mut self, _: &[u8; 12], _: &[&[u8]], _: &[u8], _: &mut [u8]) -> Result<usize, CryptoError> {
        Err(one_way())
    }
}

impl AeadAes256GcmCipher for Sealing {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(*iv, aad, input, output)
    }

    fn decrypt(&mut self, _: &[u8; 12], _: &[&[u8]], _: &[u8], _: &mut [u8]) -> Result<usize, CryptoError> {
        Err(one_way())
    }
}

#[derive(Debug)]
struct Gcm128(&'static dyn SrtpProvider);

impl SupportedAeadAes128Gcm for Gcm128 {
    fn create_cipher(&self, key: [u8; 16], encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        match Sealing::new(&AES_128_GCM, &key) {
            Ok(sealing) if encrypt => Box::new(sealing),
            _ => self.0.aead_aes_128_gcm().create_cipher(key, encrypt),
        }
    }
}

#[derive(Debug)]
struct Gcm256(&'static dyn SrtpProvider);

impl SupportedAeadAes256Gcm for Gcm256 {
    fn create_cipher(&self, key: [u8; 32], encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        match Sealing::new(&AES_256_GCM, &key) {
            Ok(sealing) if encrypt => Box::new(sealing),
            _ => self.0.aead_aes_256_gcm().create_cipher(key, encrypt),
        }
    }
}

#[derive(Debug)]
struct Watched {
    inner: &'static dyn SrtpProvider,
    short: Gcm128,
    long: Gcm256,
}

impl SrtpProvider for Watched {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        self.inner.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        match WATCHED.get() {
            Some(watched) => &watched.short,
            None => self.inner.aead_aes_128_gcm(),
        }
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        match WATCHED.get() {
            Some(watched) => &watched.long,
            None => self.inner.aead_aes_256_gcm(),
        }
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        self.inner.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        self.inner.srtp_aes_256_ecb_round(key, input, output);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends there")]

    use super::*;

    const LONG: [u8; 32] = [7; 32];
    const SALT: [u8; NONCE_LEN] = [9; NONCE_LEN];
    const SSRC: u32 = 0x0BAD_CAFE;

    fn stream(newest: u64) -> Stream {
        let key = Sealing::new(&AES_256_GCM, &LONG).unwrap().key;
        Stream { key, salt: SALT, ssrc: SSRC, to: "127.0.0.1:9".parse().unwrap(), newest, left: MOST_APART }
    }

    fn head(sequence: u64, level: Option<(u8, u8)>) -> Head {
        Head { payload_type: 111, place: Place { sequence, timestamp: 960, first: false }, level }
    }

    /// A watched cipher that seals a packet as a session does, and what it would send.
    fn session(head: &Head, payload: &[u8]) -> Vec<u8> {
        let mut buffer = [0; LONGEST_HEADER];
        let header = header(head, SSRC, &mut buffer).to_vec();
        let mut cipher = Gcm256(from_feature_flags().srtp_provider).create_cipher(LONG, true);
        let mut body = vec![0; payload.len() + TAG];
        let (rollover, sequence) = ((head.place.sequence >> 16) as u32, head.place.sequence as u16);
        let iv = str0m::crypto::AeadAes256Gcm::rtp_iv(SALT, SSRC, rollover, sequence);
        cipher.encrypt(&iv, &header, payload, &mut body).unwrap();
        [header, body].concat()
    }

    #[test]
    fn a_stream_is_learnt_from_a_packet_and_seals_the_next_ones_as_its_session_would() {
        for sequence in [3, 0xFFFF, 0x1_0000, 0x7_1234_5678] {
            for level in [None, Some((4, 0x8A))] {
                let (first, second) = (head(sequence, level), head(sequence + 1, level));
                let sent = session(&first, b"one");
                let to = "127.0.0.1:9".parse().unwrap();
                let mut learnt = learn(&first, b"one", 0, |_| Some((to, &sent))).unwrap();
                assert_eq!(learnt.salt, SALT);
                assert_eq!(learnt.to(), to);
                let mut sealed = b"before".to_vec();
                learnt.seal(&second, b"two", &mut sealed).unwrap();
                assert_eq!(sealed, [b"before", &session(&second, b"two")[..]].concat());
            }
        }
    }

    #[test]
    fn no_number_is_used_twice_and_the_session_gets_a_packet_now_and_then() {
        let mut stream = stream(100);
        let mut out = Vec::new();
        assert!(stream.seal(&head(100, None), b"again", &mut out).is_none());
        assert!(stream.seal(&head(99, None), b"late", &mut out).is_none());
        assert!(out.is_empty());
        let sealed = (101..1000).take_while(|&at| stream.seal(&head(at, None), b"new", &mut out).is_some()).count();
        assert_eq!(sealed, MOST_APART as usize);
    }

    #[test]
    fn nothing_is_learnt_from_another_header_or_without_a_packet() {
        let usual = head(5, None);
        forget();
        assert!(learn(&usual, b"one", 0, |_| None).is_none());
        session(&head(5, Some((1, 2))), b"one");
        assert!(learn(&usual, b"one", 0, |_| panic!("it is another packet")).is_none());
    }

    #[test]
    fn sender_reports_count_what_was_sent_apart() {
        let report = |ssrc: u32, packets: u32, octets: u32| {
            let words = [0x80C8_0006, ssrc, 1, 2, 3, packets, octets];
            words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
        };
        let naming = [0x81CA_0002_u32, SSRC, 0].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let compound = |own: (u32, u32), other: (u32, u32)| {
            [report(SSRC, own.0, own.1), naming.clone(), report(8, other.0, other.1), report(77, 1, 1)].concat()
        };
        let mut apart = Vec::new();
        for _ in 0..3 {
            count(&mut apart, SSRC, 100);
        }
        count(&mut apart, 8, 40);
        let mut sent = compound((u32::MAX, 10), (2, 20));
        let (clear, rest) = sent.split_at_mut(RTCP_CLEAR);
        correct(clear, rest, &apart);
        assert_eq!(sent, compound((2, 310), (3, 60)));
        // What is cut off in the middle is left alone.
        let mut short = report(SSRC, 1, 1)[..22].to_vec();
        let before = short.clone();
        let (clear, rest) = short.split_at_mut(RTCP_CLEAR);
        correct(clear, rest, &apart);
        assert_eq!(short, before);
    }

    #[test]
    fn a_session_counts_only_while_it_has_its_turn() {
        let mut apart = Vec::new();
        count(&mut apart, 1, 1);
        counting(&mut apart, || assert_eq!(APART.take().len(), 1));
        assert!(apart.is_empty());
    }
}
