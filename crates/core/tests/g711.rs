//! G.711 against the tables of the Recommendation (tests/vectors/make_g711.py).

use std::path::Path;

use antiphon_core::Error;
use antiphon_core::g711::Law;

const LAWS: [(&str, Law); 2] = [("mulaw", Law::Mu), ("alaw", Law::A)];

/// Law, byte, the sample it stands for, and the lowest and highest sample that become it.
fn vectors() -> Vec<(Law, u8, i16, i16, i16)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/g711.csv");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    let row = |line: &str| {
        let mut cells = line.split(',');
        let name = cells.next().expect("a law");
        let law = LAWS.iter().find(|law| law.0 == name).expect("one of the two").1;
        let mut number = || cells.next().expect("a number").parse::<i16>().expect("16 bits");
        (law, u8::try_from(number()).expect("a byte"), number(), number(), number())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn every_byte_stands_for_the_sample_of_the_recommendation() {
    assert_eq!(vectors().len(), 512);
    for (law, byte, sample, ..) in vectors() {
        assert_eq!(law.decode_sample(byte), sample, "{law:?} {byte}");
    }
}

#[test]
fn every_sample_becomes_the_byte_of_the_recommendation() {
    let mut checked = 0;
    for (law, byte, _, lowest, highest) in vectors() {
        for sample in lowest..=highest {
            assert_eq!(law.encode_sample(sample), byte, "{law:?} {sample}");
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * 65_536);
}

#[test]
fn slices_go_through_sample_by_sample_and_floats_as_their_nearest_sample() {
    let pcm: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let float: Vec<f32> = pcm.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
    for (_, law) in LAWS {
        let (mut bytes, mut same) = (vec![0; pcm.len()], vec![1; pcm.len()]);
        law.encode(&pcm, &mut bytes).expect("equal lengths");
        law.encode_float(&float, &mut same).expect("equal lengths");
        assert_eq!(bytes, same);
        assert!(pcm.iter().zip(&bytes).all(|(&sample, &byte)| law.encode_sample(sample) == byte));
        let (mut back, mut back_float) = (vec![0; pcm.len()], vec![0.0; pcm.len()]);
        law.decode(&bytes, &mut back).expect("equal lengths");
        law.decode_float(&bytes, &mut back_float).expect("equal lengths");
        assert!(bytes.iter().zip(&back).all(|(&byte, &sample)| law.decode_sample(byte) == sample));
        assert!(back.iter().zip(&back_float).all(|(&a, &b)| f32::from(a) / 32_768.0 == b));
    }
}

#[test]
fn floats_beyond_the_range_are_cut_off() {
    for (_, law) in LAWS {
        let mut bytes = [0; 5];
        law.encode_float(&[2.0, f32::INFINITY, -2.0, f32::NEG_INFINITY, f32::NAN], &mut bytes).expect("equal lengths");
        let ends = [i16::MAX, i16::MAX, i16::MIN, i16::MIN, 0].map(|sample| law.encode_sample(sample));
        assert_eq!(bytes, ends);
    }
}

#[test]
fn unequal_lengths_are_refused() {
    for (_, law) in LAWS {
        assert!(matches!(law.encode(&[0; 3], &mut [0; 2]), Err(Error::Unsupported(_))));
        assert!(matches!(law.decode(&[0; 2], &mut [0; 3]), Err(Error::Unsupported(_))));
        assert!(matches!(law.encode_float(&[0.0; 3], &mut [0; 2]), Err(Error::Unsupported(_))));
        assert!(matches!(law.decode_float(&[0; 2], &mut [0.0; 3]), Err(Error::Unsupported(_))));
    }
}
