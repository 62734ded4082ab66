use antiphon_core::container::ogg::{OggDemuxer as CoreOgg, OggWriter as CoreWriter, PageFlush};
use antiphon_core::container::webm::WebmDemuxer as CoreWebm;
use antiphon_core::container::{self as core, Event, Header, MAX_PACKET, Packet, Tags};
use antiphon_core::{Error, Result};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::error::to_python;

/// Bytes that are handed to a demuxer before its events are taken.
const PIECE: usize = 64 * 1024;

/// Give the content of `data`, any object with a buffer of bytes, to `read`.
fn with_bytes<T>(data: &Bound<'_, PyAny>, read: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(read(bytes.as_bytes()));
    }
    // What is not `bytes` may be changed while it is read.
    let copy = PyBuffer::<u8>::get(data)?.to_vec(data.py())?;
    Ok(read(&copy))
}

/// The identification header of an Opus stream (RFC 7845 section 5.1).
#[pyclass(module = "antiphon._native", frozen, eq, from_py_object)]
#[derive(Clone, PartialEq, Eq)]
pub struct OpusHead(core::OpusHead);

#[pymethods]
impl OpusHead {
    #[new]
    #[pyo3(signature = (channels = 1, pre_skip = 312, input_sample_rate = 48_000))]
    fn new(channels: u8, pre_skip: u16, input_sample_rate: u32) -> PyResult<Self> {
        core::OpusHead::new(channels, pre_skip, input_sample_rate).map(Self).map_err(to_python)
    }

    /// Read a head from its bytes: the first packet of Ogg Opus, CodecPrivate of WebM.
    #[staticmethod]
    fn parse(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        with_bytes(data, core::OpusHead::parse)?.map(Self).map_err(to_python)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    #[getter]
    fn channels(&self) -> u8 {
        self.0.channels
    }

    #[getter]
    fn pre_skip(&self) -> u16 {
        self.0.pre_skip
    }

    #[getter]
    fn input_sample_rate(&self) -> u32 {
        self.0.input_sample_rate
    }

    #[getter]
    fn output_gain(&self) -> f64 {
        f64::from(self.0.output_gain) / 256.0
    }

    #[getter]
    fn mapping_family(&self) -> u8 {
        self.0.mapping.family
    }

    #[getter]
    fn streams(&self) -> u8 {
        self.0.mapping.streams
    }

    #[getter]
    fn coupled(&self) -> u8 {
        self.0.mapping.coupled
    }

    #[getter]
    fn mapping<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.mapping.table)
    }

    fn __repr__(&self) -> String {
        let Self(core::OpusHead { channels, pre_skip, input_sample_rate, .. }) = self;
        format!("OpusHead(channels={channels}, pre_skip={pre_skip}, input_sample_rate={input_sample_rate})")
    }
}

/// A stream begins, or begins anew: a decoder should start afresh.
#[pyclass(module = "antiphon._native", frozen)]
pub struct StreamHeader(Header);

#[pymethods]
impl StreamHeader {
    #[getter]
    fn head(&self) -> OpusHead {
        OpusHead(self.0.head.clone())
    }

    #[getter]
    fn vendor(&self) -> Option<&str> {
        self.0.tags.as_ref().map(|tags| &tags.vendor[..])
    }

    #[getter]
    fn comments(&self) -> Vec<String> {
        self.0.tags.as_ref().map(|tags| tags.comments.clone()).unwrap_or_default()
    }

    #[getter]
    fn assumed(&self) -> bool {
        self.0.assumed
    }

    #[getter]
    fn at(&self) -> u64 {
        self.0.at
    }

    fn __repr__(&self) -> String {
        let assumed = if self.0.assumed { ", assumed" } else { "" };
        format!("<StreamHeader at byte {}: {}{assumed}>", self.0.at, self.head().__repr__())
    }
}

/// One Opus packet and where it belongs.
#[pyclass(module = "antiphon._native", frozen, get_all)]
pub struct OpusPacket {
    data: Py<PyBytes>,
    timestamp: i64,
    duration: u32,
    discard_start: u32,
    discard_end: u32,
    track: u64,
    at: u64,
}

#[pymethods]
impl OpusPacket {
    fn __repr__(&self, py: Python<'_>) -> String {
        let Self { timestamp, duration, at, .. } = self;
        let bytes = self.data.as_bytes(py).len();
        format!("<OpusPacket at byte {at}: {bytes} bytes, {duration} samples from {timestamp}>")
    }
}

/// Bytes or packets that were passed over.
#[pyclass(module = "antiphon._native", frozen, eq)]
#[derive(PartialEq, Eq)]
pub struct StreamGap(core::Gap);

#[pymethods]
impl StreamGap {
    #[getter]
    fn at(&self) -> u64 {
        self.0.at
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    #[getter]
    fn reason(&self) -> &'static str {
        self.0.reason
    }

    fn __repr__(&self) -> String {
        let core::Gap { at, bytes, reason } = self.0;
        format!("<StreamGap at byte {at}: {bytes} bytes, {reason}>")
    }
}

trait Demuxer: Send {
    fn push(&mut self, bytes: &[u8]) -> Result<()>;
    fn finish(&mut self);
    fn next_event(&mut self) -> Result<Option<Event<'_>>>;
}

macro_rules! demuxer {
    ($core:ty) => {
        impl Demuxer for $core {
            fn push(&mut self, bytes: &[u8]) -> Result<()> {
                self.push(bytes)
            }

            fn finish(&mut self) {
                self.finish();
            }

            fn next_event(&mut self) -> Result<Option<Event<'_>>> {
                self.next_event()
            }
        }
    };
}
demuxer!(CoreOgg);
demuxer!(CoreWebm);

/// An event without the interpreter; the bytes of packets lie one after another in [`Taken::bytes`].
enum Owned {
    Header(Box<Header>),
    Packet(Packet<'static>, usize),
    Gap(core::Gap),
}

/// Events that were taken and are not yet Python's.
#[derive(Default)]
struct Taken {
    events: Vec<Owned>,
    bytes: Vec<u8>,
}

impl Taken {
    /// Push bytes, or finish where there are none, and take all events.
    fn fill(&mut self, demuxer: &mut impl Demuxer, bytes: Option<&[u8]>) -> Result<()> {
        self.events.clear();
        self.bytes.clear();
        match bytes {
            None => {
                demuxer.finish();
                self.drain(demuxer)
            }
            Some(bytes) => {
                for piece in bytes.chunks(PIECE) {
                    demuxer.push(piece)?;
                    self.drain(demuxer)?;
                }
                self.drain(demuxer)
            }
        }
    }

    fn drain(&mut self, demuxer: &mut impl Demuxer) -> Result<()> {
        while let Some(event) = demuxer.next_event()? {
            match event {
                Event::Header(header) => self.events.push(Owned::Header(header)),
                Event::Gap(gap) => self.events.push(Owned::Gap(gap)),
                Event::Packet(packet) => {
                    self.bytes.extend_from_slice(packet.data);
                    self.events.push(Owned::Packet(Packet { data: &[], ..packet }, packet.data.len()));
                }
                Event::End { .. } => break,
            }
        }
        Ok(())
    }

    fn take_list<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let mut rest = &self.bytes[..];
        for event in self.events.drain(..) {
            match event {
                Owned::Header(header) => list.append(StreamHeader(*header))?,
                Owned::Gap(gap) => list.append(StreamGap(gap))?,
                Owned::Packet(packet, length) => {
                    let (data, after) = rest.split_at(length);
                    rest = after;
                    let Packet { timestamp, duration, discard_start, discard_end, track, at, .. } = packet;
                    let data = PyBytes::new(py, data).unbind();
                    list.append(OpusPacket { data, timestamp, duration, discard_start, discard_end, track, at })?;
                }
            }
        }
        Ok(list)
    }
}

/// Feed a demuxer. An error waits for the next call where events came before it: the demuxer repeats it.
fn feed<'py>(
    py: Python<'py>,
    demuxer: &mut impl Demuxer,
    taken: &mut Taken,
    bytes: Option<&[u8]>,
) -> PyResult<Bound<'py, PyList>> {
    let result = match bytes {
        Some(bytes) if bytes.len() > PIECE => py.detach(|| taken.fill(demuxer, Some(bytes))),
        _ => taken.fill(demuxer, bytes),
    };
    match result {
        Err(error) if taken.events.is_empty() => Err(to_python(error)),
        _ => taken.take_list(py),
    }
}

macro_rules! demuxer_class {
    ($name:ident, $core:ty, $doc:literal) => {
        #[doc = $doc]
        #[pyclass(module = "antiphon._native")]
        pub struct $name {
            demuxer: $core,
            taken: Taken,
        }

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = (head = None))]
            fn new(head: Option<OpusHead>) -> Self {
                let demuxer = head.map_or_else(<$core>::new, |head| <$core>::with_header(head.0));
                Self { demuxer, taken: Taken::default() }
            }

            /// Take the next bytes of the stream and give what they complete.
            fn push<'py>(&mut self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
                let Self { demuxer, taken } = self;
                with_bytes(data, |bytes| feed(py, demuxer, taken, Some(bytes)))?
            }

            /// Give what was held back: no more bytes will come.
            fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
                feed(py, &mut self.demuxer, &mut self.taken, None)
            }
        }
    };
}
demuxer_class!(OggDemuxer, CoreOgg, "Demuxer of Ogg Opus: bytes in any pieces become packets.");
demuxer_class!(WebmDemuxer, CoreWebm, "Demuxer of WebM and Matroska: bytes in any pieces become Opus packets.");

/// Writer of Ogg Opus: packets in, pages out.
#[pyclass(module = "antiphon._native")]
pub struct OggWriter {
    writer: CoreWriter,
    out: Vec<u8>,
}

impl OggWriter {
    fn pages<'py, T>(
        &mut self,
        py: Python<'py>,
        write: impl FnOnce(&mut CoreWriter, &mut Vec<u8>) -> Result<T>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.out.clear();
        write(&mut self.writer, &mut self.out).map_err(to_python)?;
        Ok(PyBytes::new(py, &self.out))
    }
}

#[pymethods]
impl OggWriter {
    #[new]
    #[pyo3(signature = (head, *, serial, vendor = "antiphon", comments = Vec::new(), page_samples = Some(48_000)))]
    fn new(
        head: OpusHead,
        serial: u32,
        vendor: &str,
        comments: Vec<String>,
        page_samples: Option<u32>,
    ) -> PyResult<Self> {
        let tags = Tags { vendor: vendor.into(), comments };
        let flush = page_samples.map_or(PageFlush::EachPacket, PageFlush::Samples);
        let writer = CoreWriter::new(head.0, &tags, serial, flush).map_err(to_python)?;
        Ok(Self { writer, out: Vec::new() })
    }

    /// Write a packet, and give the pages that are ready.
    fn write<'py>(&mut self, py: Python<'py>, packet: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        with_bytes(packet, |packet| self.pages(py, |writer, out| writer.write(packet, out)))?
    }

    /// Write packets without frames in place of audio that was lost, and give the pages that are ready.
    fn write_gap<'py>(&mut self, py: Python<'py>, samples: u64) -> PyResult<Bound<'py, PyBytes>> {
        // Three bytes a packet: a day of gaps is more than any player bears.
        if samples > 24 * 3600 * u64::from(core::CLOCK) {
            return Err(to_python(Error::unsupported(format!("a gap of {samples} samples; a day is possible"))));
        }
        self.pages(py, |writer, out| writer.write_gap(samples, out))
    }

    /// Give what was kept back.
    fn flush<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.pages(py, CoreWriter::flush)
    }

    /// End the stream, and give its last page.
    #[pyo3(signature = (discard = 0))]
    fn finish<'py>(&mut self, py: Python<'py>, discard: u32) -> PyResult<Bound<'py, PyBytes>> {
        self.pages(py, |writer, out| writer.finish(discard, out))
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.writer.samples()
    }
}

/// Samples of 48 kHz in an Opus packet.
#[pyfunction]
fn packet_duration(packet: &Bound<'_, PyAny>) -> PyResult<u32> {
    with_bytes(packet, core::packet_duration)?.map_err(to_python)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OpusHead>()?;
    module.add_class::<StreamHeader>()?;
    module.add_class::<OpusPacket>()?;
    module.add_class::<StreamGap>()?;
    module.add_class::<OggDemuxer>()?;
    module.add_class::<WebmDemuxer>()?;
    module.add_class::<OggWriter>()?;
    module.add("MAX_OPUS_PACKET", MAX_PACKET)?;
    module.add_function(wrap_pyfunction!(packet_duration, module)?)
}
