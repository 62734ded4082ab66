#![no_main]

use antiphon_core::pace::{Advance, Cursor, Span, Tape};
use libfuzzer_sys::fuzz_target;

const MOST: u64 = 25;

// A tape and a listener: three bytes each for what is done, how much of it, and how much later.
fuzz_target!(|data: &[u8]| {
    let mut tape = Tape::new(7);
    let mut cursor = Cursor::new(7, 20_000, MOST);
    let (mut now, mut finished, mut told) = (0_u64, false, 0);
    for action in data.chunks_exact(3) {
        let (much, later) = (u64::from(action[1]), u64::from(action[2]));
        now += later * later * 10;
        let live = action[0] & 0x80 != 0;
        match action[0] % 8 {
            0 if !finished => (0..much).for_each(|byte| tape.push(&vec![byte as u8; 1 + much as usize])),
            1 => tape.forget(|after, bytes| after < cursor.due() || bytes > 20_000),
            2 => cursor.seek(tape.head() + much, 10_000 + later * 100, MOST),
            3 => cursor.pause(),
            4 => cursor.resume(Span { head: tape.head(), end: tape.end(), finished, live }),
            5 => finished |= much > 250,
            6 => cursor.end(),
            _ => {}
        }
        let span = Span { head: tape.head(), end: tape.end(), finished, live };
        let (advance, _) = cursor.advance(now, span);
        if let Advance::At(next) = advance {
            assert!(next > now, "nothing is asked for that is past");
        }
        assert!(cursor.next() <= cursor.due());
        if let Some((packets, total)) = cursor.take_dropped() {
            told += packets;
            assert_eq!((told, total), (total, cursor.counters().dropped));
        }
        if cursor.owes() {
            let run = tape.run(cursor.next()..cursor.due()).expect("what is due is there");
            let (begun, rest) = run.cut(run.bytes.len() * much as usize / 255);
            assert!(begun <= run.frames() && rest.len() <= 256);
            cursor.sent(begun);
        }
    }
});
