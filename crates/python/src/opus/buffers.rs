//! Samples and bytes of Python objects, without copies, through the buffer protocol.

use std::borrow::Cow;
use std::ops::Range;

use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Samples somebody gave: kept alive, and of fixed length and place, until this is dropped.
pub enum PcmIn {
    Int16(PyBuffer<i16>),
    Float(PyBuffer<f32>),
    /// `bytes` and the like, as 16-bit little-endian samples.
    Bytes(PyBuffer<u8>),
}

/// What is in a [`PcmIn`].
pub enum Pcm<'a> {
    Int16(Cow<'a, [i16]>),
    Float(&'a [f32]),
}

impl PcmIn {
    pub fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = contiguous(object)?;
        // NumPy and `array` write h and f; `bytes` writes B.
        match buffer.format().to_bytes() {
            b"h" | b"<h" | b"=h" => buffer.into_typed().map(Self::Int16),
            b"f" | b"<f" | b"=f" => buffer.into_typed().map(Self::Float),
            b"B" => buffer.into_typed().map(Self::Bytes),
            other => Err(PyTypeError::new_err(format!(
                "samples must be int16 or float32, or bytes of 16-bit little-endian samples; got format {:?}",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    pub fn pcm(&self) -> PyResult<Pcm<'_>> {
        match self {
            Self::Int16(buffer) => Ok(Pcm::Int16(Cow::Borrowed(slice(buffer)))),
            Self::Float(buffer) => Ok(Pcm::Float(slice(buffer))),
            Self::Bytes(buffer) => int16_of_bytes(slice(buffer)).map(Pcm::Int16),
        }
    }

    pub fn place(&self) -> Range<usize> {
        match self {
            Self::Int16(buffer) => place(buffer),
            Self::Float(buffer) => place(buffer),
            Self::Bytes(buffer) => place(buffer),
        }
    }
}

fn int16_of_bytes(bytes: &[u8]) -> PyResult<Cow<'_, [i16]>> {
    if !bytes.len().is_multiple_of(2) {
        return Err(PyValueError::new_err(format!("{} bytes are not whole 16-bit samples", bytes.len())));
    }
    // SAFETY: any two bytes are an i16; `align_to` itself looks after alignment.
    let (before, samples, after) = unsafe { bytes.align_to::<i16>() };
    if cfg!(target_endian = "little") && before.is_empty() && after.is_empty() {
        return Ok(Cow::Borrowed(samples));
    }
    Ok(Cow::Owned(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()))
}

/// Bytes somebody gave.
pub struct BytesIn(PyBuffer<u8>);

impl BytesIn {
    pub fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = contiguous(object)?;
        if buffer.format().to_bytes() != b"B" {
            return Err(PyTypeError::new_err("expected bytes, or another buffer of unsigned bytes"));
        }
        buffer.into_typed().map(Self)
    }

    pub fn bytes(&self) -> &[u8] {
        slice(&self.0)
    }

    pub fn place(&self) -> Range<usize> {
        place(&self.0)
    }
}

/// Room for samples or bytes that somebody gave to be written to.
pub enum Room {
    Int16(PyBuffer<i16>),
    Float(PyBuffer<f32>),
    Bytes(PyBuffer<u8>),
}

impl Room {
    /// `beside` is what is read while this is written: the two must not overlap.
    pub fn get(object: &Bound<'_, PyAny>, beside: Range<usize>) -> PyResult<Self> {
        let buffer = contiguous(object)?;
        if buffer.readonly() {
            return Err(PyTypeError::new_err("out must be writable"));
        }
        let place = place(&buffer);
        if place.start < beside.end && beside.start < place.end {
            return Err(PyValueError::new_err("out must not share memory with the input"));
        }
        match buffer.format().to_bytes() {
            b"h" | b"<h" | b"=h" => buffer.into_typed().map(Self::Int16),
            b"f" | b"<f" | b"=f" => buffer.into_typed().map(Self::Float),
            b"B" => buffer.into_typed().map(Self::Bytes),
            _ => Err(wrong_room("int16, float32 or unsigned bytes")),
        }
    }
}

/// `out` is of a type that cannot be written here.
pub fn wrong_room(right: &str) -> PyErr {
    PyTypeError::new_err(format!("out must be a writable buffer of {right}"))
}

fn contiguous(object: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let buffer = PyUntypedBuffer::get(object)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer must be C-contiguous; numpy.ascontiguousarray makes it so"));
    }
    Ok(buffer)
}

/// The elements of a buffer that was found to be C-contiguous.
///
/// Its memory stays where it is while the buffer is held. That nobody writes to it meanwhile is the caller's part, as
/// with every function that reads an array while the interpreter lock is released.
fn slice<T: pyo3::buffer::Element>(buffer: &PyBuffer<T>) -> &[T] {
    match buffer.as_slice_ptr() {
        // SAFETY: the pointer is aligned and valid for its length, by `PyBuffer`, as long as the buffer is borrowed.
        Some(elements) => unsafe { elements.as_ref() },
        None => &[],
    }
}

/// As [`slice`], to be written to: the buffer is writable, and [`Room::get`] made sure that it overlaps no input.
pub fn slice_mut<T: pyo3::buffer::Element>(buffer: &mut PyBuffer<T>) -> &mut [T] {
    match buffer.as_slice_ptr() {
        // SAFETY: as in `slice`; this borrow of the buffer is exclusive.
        Some(mut elements) => unsafe { elements.as_mut() },
        None => &mut [],
    }
}

fn place(buffer: &PyUntypedBuffer) -> Range<usize> {
    let start = buffer.buf_ptr() as usize;
    start..start + buffer.len_bytes()
}
