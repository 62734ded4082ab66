use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use antiphon_core::g711::Law;
use antiphon_core::jitter::{
    Arrival, Config, FrameDecoder, G711Decoder, JitterBuffer as Core, OpusDecoder, Packet, PcmDecoder, PcmFormat, Tag,
};
use antiphon_core::{Error, opus};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::to_python;

type Buffer = Core<Box<dyn FrameDecoder + Send>>;

const CODECS: &str = "opus, pcmu, pcma, s16le, s16be, f32le";

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<JitterBuffer>()?;
    module.add_class::<JitterStats>()
}

/// Counters of a jitter buffer since it was made, and how it stands.
#[pyclass(module = "antiphon._native", frozen, get_all)]
#[derive(Debug)]
struct JitterStats {
    received: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
    reordered: u64,
    rejected: u64,
    overflowed: u64,
    corrupt: u64,
    played_samples: u64,
    concealed_samples: u64,
    recovered_samples: u64,
    silence_samples: u64,
    stretched_samples: u64,
    compressed_samples: u64,
    underruns: u64,
    resets: u64,
    packets: usize,
    bytes: usize,
    target_ms: f64,
    delay_ms: f64,
    mean_delay_ms: f64,
    jitter_ms: f64,
}

#[pymethods]
impl JitterStats {
    fn __repr__(&self) -> String {
        format!("{self:?}")
    }
}

/// A jitter buffer: packets come when the network brings them, frames go out one a tick.
///
/// `antiphon.media.JitterBuffer` takes these as a `JitterConfig`. Any thread may push; one at a time may pull.
#[pyclass(module = "antiphon._native", frozen, subclass)]
struct JitterBuffer {
    buffer: Mutex<Buffer>,
    frame: Mutex<Vec<f32>>,
    channels: usize,
    frame_len: usize,
    int16: bool,
    /// Decoding may take long enough for other threads to run beside it.
    slow: bool,
}

#[pymethods]
impl JitterBuffer {
    #[new]
    #[pyo3(signature = (*, codec="opus", sample_rate=48_000, channels=1, dtype="float32", clock_rate=None, frame_ms=20,
        min_delay_ms=50, max_delay_ms=500, min_delay_packets=2, max_delay_packets=10, quantile=0.97, memory_ms=10_000,
        decay_ms=1_000, max_conceal_ms=200, idle_ms=1_000, max_packets=256, max_bytes=1_048_576, dred=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        codec: &str,
        sample_rate: u32,
        channels: u8,
        dtype: &str,
        clock_rate: Option<u32>,
        frame_ms: u32,
        min_delay_ms: u32,
        max_delay_ms: u32,
        min_delay_packets: u32,
        max_delay_packets: u32,
        quantile: f64,
        memory_ms: u32,
        decay_ms: u32,
        max_conceal_ms: u32,
        idle_ms: u32,
        max_packets: usize,
        max_bytes: usize,
        dred: bool,
    ) -> PyResult<Self> {
        let int16 = match dtype {
            "float32" => false,
            "int16" => true,
            _ => return Err(PyValueError::new_err(format!("dtype must be float32 or int16, not {dtype}"))),
        };
        let (decoder, usual_clock) = decoder(codec, sample_rate, channels, dred)?;
        let config = Config {
            clock_rate: clock_rate.unwrap_or(usual_clock),
            frame_ms,
            min_delay_ms,
            max_delay_ms,
            min_delay_packets,
            max_delay_packets,
            quantile,
            memory_ms,
            decay_ms,
            max_conceal_ms,
            idle_ms,
            max_packets,
            max_bytes,
            ..Config::default()
        };
        let channels = decoder.channels();
        let buffer = Core::new(config, decoder).map_err(to_python)?;
        let frame_len = buffer.frame_len();
        let frame = Mutex::new(vec![0.0; frame_len]);
        Ok(Self { buffer: Mutex::new(buffer), frame, channels, frame_len, int16, slow: codec == "opus" })
    }

    /// Take a packet.
    ///
    /// Returns "queued", "duplicate", "late" or "doubtful": the last if it doesn't fit the stream, which begins anew
    /// if the next packet follows it.
    ///
    /// Args:
    ///     sequence_number: 0 to 65535 (RFC 3550).
    ///     timestamp: 0 to 4294967295, in ticks of the clock rate.
    ///     payload: What the codec takes.
    ///     arrival: Seconds on any clock that only goes forward.
    ///     ssrc: The source; another one begins the stream anew.
    ///
    /// Raises:
    ///     antiphon.errors.BadAudio: The payload can't be of the codec; it is counted as rejected.
    #[pyo3(signature = (sequence_number, timestamp, payload, arrival, ssrc=0))]
    fn push<'py>(
        &self,
        py: Python<'py>,
        sequence_number: u16,
        timestamp: u32,
        payload: &Bound<'py, PyAny>,
        arrival: f64,
        ssrc: u32,
    ) -> PyResult<&Bound<'py, PyString>> {
        let arrival = micros(arrival)?;
        let pushed = with_bytes(payload, |payload| {
            self.lock().push(&Packet { ssrc, sequence_number, timestamp, payload }, arrival)
        })?;
        Ok(arrival_name(py, pushed.map_err(to_python)?))
    }

    /// Take packets as tuples of the arguments of push. Those with a bad payload are counted as rejected and passed
    /// over. Returns how many are queued.
    fn push_many(&self, packets: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut queued = 0;
        for packet in packets.try_iter()? {
            let packet = packet?;
            let (sequence_number, timestamp, payload, arrival, ssrc) = match packet.extract() {
                Ok(all) => all,
                Err(_) => {
                    let (sequence_number, timestamp, payload, arrival) =
                        packet.extract::<(u16, u32, Bound<'_, PyAny>, f64)>()?;
                    (sequence_number, timestamp, payload, arrival, 0)
                }
            };
            let arrival = micros(arrival)?;
            let pushed = with_bytes(&payload, |payload| {
                self.lock().push(&Packet { ssrc, sequence_number, timestamp, payload }, arrival)
            })?;
            queued += usize::from(pushed == Ok(Arrival::Queued));
        }
        Ok(queued)
    }

    /// The next frame, for playing at ``now`` seconds: an array of shape (samples,), or (samples, channels) for more than
    /// one, and its tag: "played", "concealed", "recovered", "stretched", "compressed" or "silence". To be called once
    /// a tick.
    fn pull<'py>(&self, py: Python<'py>, now: f64) -> PyResult<(Bound<'py, PyAny>, &Bound<'py, PyString>)> {
        let now = micros(now)?;
        let mut frame = self.frame()?;
        let tag = self.advance(py, now, &mut frame)?;
        let array = if self.int16 {
            let samples = frame.iter().map(|&sample| opus::to_int16(sample));
            self.shaped(PyArray1::from_iter(py, samples))?
        } else {
            self.shaped(PyArray1::from_slice(py, &frame))?
        };
        Ok((array, tag_name(py, tag)))
    }

    /// As pull, into ``out``: a C-contiguous float32 or int16 array of as many samples as a frame. Returns the tag.
    fn pull_into<'py>(&self, py: Python<'py>, now: f64, out: &Bound<'py, PyAny>) -> PyResult<&Bound<'py, PyString>> {
        let now = micros(now)?;
        if let Ok(out) = out.cast::<PyArrayDyn<f32>>() {
            let mut out = out.try_readwrite()?;
            let out = self.fitting(out.as_slice_mut()?)?;
            let mut frame = self.frame()?;
            let tag = self.advance(py, now, &mut frame)?;
            out.copy_from_slice(&frame);
            return Ok(tag_name(py, tag));
        }
        if let Ok(out) = out.cast::<PyArrayDyn<i16>>() {
            let mut out = out.try_readwrite()?;
            let out = self.fitting(out.as_slice_mut()?)?;
            let mut frame = self.frame()?;
            let tag = self.advance(py, now, &mut frame)?;
            out.iter_mut().zip(frame.iter()).for_each(|(out, &sample)| *out = opus::to_int16(sample));
            return Ok(tag_name(py, tag));
        }
        Err(PyTypeError::new_err("out must be a numpy array of float32 or int16"))
    }

    /// Counters, and how the buffer stands.
    fn stats(&self) -> JitterStats {
        let stats = self.lock().stats();
        JitterStats {
            received: stats.received,
            lost: stats.lost,
            late: stats.late,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            rejected: stats.rejected,
            overflowed: stats.overflowed,
            corrupt: stats.corrupt,
            played_samples: stats.played_samples,
            concealed_samples: stats.concealed_samples,
            recovered_samples: stats.recovered_samples,
            silence_samples: stats.silence_samples,
            stretched_samples: stats.stretched_samples,
            compressed_samples: stats.compressed_samples,
            underruns: stats.underruns,
            resets: stats.resets,
            packets: stats.packets,
            bytes: stats.bytes,
            target_ms: stats.target_ms,
            delay_ms: stats.delay_ms,
            mean_delay_ms: stats.mean_delay_ms,
            jitter_ms: stats.jitter_ms,
        }
    }

    /// Begin anew, as with another source; counters go on.
    fn reset(&self) {
        self.lock().reset();
    }

    /// Samples of each channel in a frame.
    #[getter]
    fn frame_samples(&self) -> usize {
        self.frame_len / self.channels
    }

    fn __repr__(&self) -> String {
        let stats = self.lock().stats();
        format!(
            "<JitterBuffer {} packets waiting, delay {:.0} ms, target {:.0} ms>",
            stats.packets, stats.delay_ms, stats.target_ms
        )
    }
}

impl JitterBuffer {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory for a frame. Never waited for, as who has it may be waiting for the interpreter.
    fn frame(&self) -> PyResult<MutexGuard<'_, Vec<f32>>> {
        match self.frame.try_lock() {
            Ok(frame) => Ok(frame),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err("another thread is pulling")),
        }
    }

    fn advance(&self, py: Python<'_>, now: i64, frame: &mut [f32]) -> PyResult<Tag> {
        let mut pull = || self.lock().pull(now, frame).map(|frame| frame.tag);
        let pulled = if self.slow { py.detach(&mut pull) } else { pull() };
        pulled.map_err(to_python)
    }

    fn shaped<'py, T: numpy::Element>(&self, flat: Bound<'py, PyArray1<T>>) -> PyResult<Bound<'py, PyAny>> {
        if self.channels == 1 {
            return Ok(flat.into_any());
        }
        Ok(flat.reshape([flat.len() / self.channels, self.channels])?.into_any())
    }

    fn fitting<'a, T>(&self, out: &'a mut [T]) -> PyResult<&'a mut [T]> {
        if out.len() == self.frame_len {
            return Ok(out);
        }
        let (wanted, got) = (self.frame_len, out.len());
        Err(PyValueError::new_err(format!("out must have {wanted} samples, all channels counted, not {got}")))
    }
}

/// A decoder and the clock rate that RTP has for it.
fn decoder(codec: &str, sample_rate: u32, channels: u8, dred: bool) -> PyResult<(Box<dyn FrameDecoder + Send>, u32)> {
    let pcm = |format| -> PyResult<(Box<dyn FrameDecoder + Send>, u32)> {
        Ok((Box::new(PcmDecoder::new(format, sample_rate, channels.into()).map_err(to_python)?), sample_rate))
    };
    match codec {
        "opus" => {
            let decoder = opus::Decoder::new(sample_rate, channels).map_err(to_python)?;
            let decoder = if dred { OpusDecoder::with_redundancy(decoder) } else { Ok(OpusDecoder::new(decoder)) };
            Ok((Box::new(decoder.map_err(to_python)?), 48_000))
        }
        "pcmu" | "pcma" => {
            if (sample_rate, channels) != (8_000, 1) {
                let problem =
                    format!("{codec} has a sample_rate of 8000 and 1 channel, not {sample_rate} and {channels}");
                return Err(to_python(Error::unsupported(problem)));
            }
            let law = if codec == "pcmu" { Law::Mu } else { Law::A };
            Ok((Box::new(G711Decoder::new(law)), 8_000))
        }
        "s16le" => pcm(PcmFormat::S16Le),
        "s16be" => pcm(PcmFormat::S16Be),
        "f32le" => pcm(PcmFormat::F32Le),
        _ => Err(PyValueError::new_err(format!("codec must be one of {CODECS}, not {codec}"))),
    }
}

fn with_bytes<T>(payload: &Bound<'_, PyAny>, use_it: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if let Ok(bytes) = payload.cast::<PyBytes>() {
        return Ok(use_it(bytes.as_bytes()));
    }
    let buffer = PyBuffer::<u8>::get(payload)?;
    Ok(use_it(&buffer.to_vec(payload.py())?))
}

fn micros(seconds: f64) -> PyResult<i64> {
    if seconds.is_finite() {
        return Ok((seconds * 1e6).round() as i64);
    }
    Err(PyValueError::new_err(format!("a time must be finite, not {seconds}")))
}

fn tag_name(py: Python<'_>, tag: Tag) -> &Bound<'_, PyString> {
    match tag {
        Tag::Played => intern!(py, "played"),
        Tag::Concealed => intern!(py, "concealed"),
        Tag::Recovered => intern!(py, "recovered"),
        Tag::Stretched => intern!(py, "stretched"),
        Tag::Compressed => intern!(py, "compressed"),
        Tag::Silence => intern!(py, "silence"),
    }
}

fn arrival_name(py: Python<'_>, arrival: Arrival) -> &Bound<'_, PyString> {
    match arrival {
        Arrival::Queued => intern!(py, "queued"),
        Arrival::Duplicate => intern!(py, "duplicate"),
        Arrival::Late => intern!(py, "late"),
        Arrival::Doubtful => intern!(py, "doubtful"),
    }
}
