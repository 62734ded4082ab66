//! The fuzzers' targets on the inputs that are kept, without a fuzzer: what once went wrong stays mended.

use std::fs;
use std::path::{Path, PathBuf};

// The targets say `use libfuzzer_sys::fuzz_target`: here that is the macro below.
extern crate self as libfuzzer_sys;

macro_rules! fuzz_target {
    (|$data:ident: &[u8]| $body:expr) => {
        pub fn run($data: &[u8]) {
            $body
        }
    };
}
pub(crate) use fuzz_target;

macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        #[path = "../fuzz/fuzz_targets"]
        mod targets {
            $(
                #[allow(unused_attributes, unused_imports)] // no_main, and the import of the macro
                pub mod $name;
            )*
        }

        $(
            #[test]
            fn $name() {
                run_corpus(stringify!($name), targets::$name::run);
            }
        )*
    };
}

targets! { g711 jitter live mixer ogg opus_decode opus_dred pace room rtp webm }

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn run_corpus(target: &str, run: fn(&[u8])) {
    let folder = fuzz().join("corpus").join(target);
    let mut inputs: Vec<_> = files(&folder);
    inputs.sort();
    assert!(!inputs.is_empty(), "{} holds no input", folder.display());
    run(&[]);
    for input in inputs {
        println!("{}", input.display()); // shown where it panics
        run(&fs::read(&input).expect("an input can be read"));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a folder can be read").path()).collect()
}

#[test]
fn every_target_is_listed_everywhere() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the fuzzers have a manifest");
    let mut written: Vec<_> = files(&fuzz().join("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().expect("a target has a name").to_string_lossy().into_owned())
        .collect();
    written.sort();
    let mut listed = TARGETS.to_vec();
    listed.sort_unstable();
    assert_eq!(listed, written, "fuzz_targets/ against this file");
    for target in listed {
        assert!(manifest.contains(&format!("fuzz_targets/{target}.rs")), "Cargo.toml has no [[bin]] {target}");
    }
}
