//! Sounds for the tests of this module.

/// A recording of tests/data/speech: 16 000 samples a second, mono.
pub(super) fn speech(name: &str) -> Vec<f32> {
    let path = format!("{}/../../tests/data/speech/{name}", env!("CARGO_MANIFEST_DIR"));
    let wav = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // These files have the plain header of 44 bytes.
    wav[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect()
}
