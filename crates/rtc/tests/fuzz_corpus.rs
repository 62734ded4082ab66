//! The fuzzer's target on the inputs that are kept, without a fuzzer: what once went wrong stays mended.

use std::{fs, path::Path};

#[test]
fn offer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/offer");
    let mut answered = 0;
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&data);
        let (first, second) = text.split_once('\0').unwrap_or((&text, &text));
        answered += usize::from(antiphon_rtc::fuzzing::offer(first, second).is_some());
        count += 1;
    }
    assert!(answered >= 3, "{answered} of {count} in {} are offers", folder.display());
}
