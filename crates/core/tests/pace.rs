//! Pacing in virtual time: hours take milliseconds.

use antiphon_core::pace::{Advance, Cursor, GRID, MOST_LATE, Span};
use proptest::prelude::*;

const FRAME: u64 = 20_000;
const HOUR: u64 = 3_600_000_000;

fn endless() -> Span {
    Span { head: 0, end: u64::MAX, finished: false, live: false }
}

fn recorded(end: u64, finished: bool) -> Span {
    Span { head: 0, end, finished, live: false }
}

fn live(end: u64) -> Span {
    Span { head: 0, end, finished: false, live: true }
}

/// Asks at `now`, sends all that is due, and gives how many that were and when to ask again.
fn send_all(cursor: &mut Cursor, now: u64, tape: Span) -> (u64, Advance) {
    let before = cursor.next();
    let (advance, _) = cursor.advance(now, tape);
    cursor.sent(u64::MAX - cursor.next());
    (cursor.next() - before, advance)
}

#[test]
fn after_an_hour_nothing_has_drifted() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    let start = 125_000;
    let mut now = start;
    // each time somewhat late, as a busy machine is
    for turn in 0_u64.. {
        let (_, advance) = send_all(&mut cursor, now, endless());
        let Advance::At(next) = advance else { panic!("{advance:?}") };
        assert_eq!(next, start + cursor.due() * FRAME, "deadlines are absolute");
        if now - start >= HOUR {
            break;
        }
        now = next + turn % 7 * 1_000;
    }
    assert_eq!(cursor.next(), (now - start) / FRAME + 1);
    assert_eq!(cursor.counters(), Default::default());
}

#[test]
fn a_stall_moves_the_timeline_and_loses_nothing() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    assert_eq!(send_all(&mut cursor, 0, endless()), (1, Advance::At(FRAME)));
    // the whole process was stopped for ten seconds
    let (sent, advance) = send_all(&mut cursor, 10_000_300, endless());
    assert_eq!((sent, advance), (0, Advance::At(10_001_000)));
    assert_eq!(send_all(&mut cursor, 10_001_000, endless()), (1, Advance::At(10_021_000)));
    assert_eq!(cursor.counters().stalls, 1);
    assert_eq!((cursor.counters().dropped, cursor.next()), (0, 2));
}

#[test]
fn a_little_lateness_is_made_up_for() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    send_all(&mut cursor, 0, endless());
    assert_eq!(send_all(&mut cursor, 3 * FRAME, endless()), (3, Advance::At(4 * FRAME)));
    assert_eq!(cursor.counters().stalls, 0);
}

#[test]
fn a_packet_that_is_not_there_pauses_the_timeline() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    assert_eq!(send_all(&mut cursor, 0, recorded(0, false)), (0, Advance::OnNews));
    assert_eq!(cursor.counters().underruns, 0, "it has not begun");
    assert_eq!(send_all(&mut cursor, 5_000, recorded(2, false)), (1, Advance::At(25_000)));
    assert_eq!(send_all(&mut cursor, 25_000, recorded(2, false)), (1, Advance::At(45_000)));
    assert_eq!(send_all(&mut cursor, 45_000, recorded(2, false)), (0, Advance::OnNews));
    assert_eq!(cursor.counters().underruns, 1);
    assert_eq!(send_all(&mut cursor, 100_000, recorded(50, false)), (1, Advance::At(120_000)));
    assert_eq!(cursor.counters(), antiphon_core::pace::Counters { underruns: 1, ..Default::default() });
}

#[test]
fn the_end_comes_after_the_last_packet_has_had_its_time() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    assert_eq!(send_all(&mut cursor, 0, recorded(1, true)), (1, Advance::At(FRAME)));
    assert!(!cursor.take_end());
    assert_eq!(send_all(&mut cursor, FRAME, recorded(1, true)), (0, Advance::Never));
    assert!(cursor.take_end());
    assert!(!cursor.take_end(), "told once");
    assert_eq!(cursor.counters(), Default::default());
}

#[test]
fn the_end_waits_for_a_slow_connection() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    cursor.advance(0, recorded(1, true));
    cursor.advance(FRAME, recorded(1, true));
    assert!(cursor.owes() && !cursor.take_end());
    cursor.sent(1);
    assert!(cursor.take_end());
}

#[test]
fn a_slow_connection_loses_the_oldest_packets_and_is_told_once() {
    let mut cursor = Cursor::new(0, FRAME, 10);
    for packet in 0..30 {
        cursor.advance(packet * FRAME, endless());
    }
    assert_eq!((cursor.next(), cursor.due()), (20, 30));
    assert_eq!(cursor.take_dropped(), Some((20, 20)));
    assert_eq!(cursor.take_dropped(), None);
    cursor.advance(30 * FRAME, endless());
    assert_eq!(cursor.take_dropped(), Some((1, 21)));
}

#[test]
fn a_live_tape_is_sent_as_it_comes() {
    let mut cursor = Cursor::new(7, FRAME, 10);
    assert_eq!(send_all(&mut cursor, 0, live(7)), (0, Advance::OnNews));
    assert_eq!(send_all(&mut cursor, 1, live(9)), (2, Advance::OnNews));
    cursor.pause();
    assert_eq!(send_all(&mut cursor, 2, live(12)), (0, Advance::Never));
    cursor.resume(live(12));
    assert_eq!(send_all(&mut cursor, 3, live(13)), (1, Advance::OnNews), "what came meanwhile is past");
    cursor.advance(4, live(40));
    assert_eq!((cursor.next(), cursor.counters().dropped), (30, 17));
}

#[test]
fn a_pause_begins_a_new_timeline() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    send_all(&mut cursor, 0, endless());
    cursor.pause();
    assert_eq!(send_all(&mut cursor, HOUR, endless()), (0, Advance::Never));
    cursor.resume(endless());
    assert_eq!(send_all(&mut cursor, HOUR, endless()), (1, Advance::At(HOUR + FRAME)));
    assert_eq!(cursor.counters(), Default::default());
}

#[test]
fn what_the_tape_forgot_is_lost_and_told() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    let tape = Span { head: 64, end: 100, finished: false, live: false };
    assert_eq!(cursor.advance(0, tape), (Advance::At(FRAME), None));
    assert_eq!((cursor.next(), cursor.due()), (64, 65));
    assert_eq!(cursor.take_dropped(), Some((64, 64)));
}

#[test]
fn seeking_forgets_what_was_owed() {
    let mut cursor = Cursor::new(0, FRAME, 50);
    cursor.advance(0, endless());
    cursor.seek(500, FRAME, 50);
    assert_eq!(cursor.advance(1, endless()), (Advance::At(GRID), None));
    assert_eq!(send_all(&mut cursor, GRID, endless()), (1, Advance::At(GRID + FRAME)));
    assert_eq!((cursor.next(), cursor.counters()), (501, Default::default()));
}

proptest! {
    /// However late somebody comes to ask: packets go in order and once, never before their time, and no more at once
    /// than have come due in the lateness that is made up for.
    #[test]
    fn there_is_no_burst_and_nothing_is_lost(
        frame in prop::sample::select(vec![2_500_u64, 10_000, 20_000, 40_000, 60_000]),
        start in 0_u64..1_000_000,
        lateness in prop::collection::vec(prop_oneof![8 => 0_u64..3_000, 1 => 0_u64..120_000, 1 => 0_u64..30_000_000], 1..400),
    ) {
        let mut cursor = Cursor::new(0, frame, 1_000);
        let (mut now, mut origin) = (start, start.next_multiple_of(GRID));
        let (mut stalls, mut total) = (0, 0);
        for late in lateness {
            let (sent, advance) = send_all(&mut cursor, now, endless());
            let Advance::At(next) = advance else { panic!("{advance:?}") };
            total += sent;
            prop_assert_eq!(cursor.next(), total);
            prop_assert!(sent <= MOST_LATE + 1);
            if cursor.counters().stalls > stalls {
                stalls = cursor.counters().stalls;
                origin = next - cursor.due() * frame;
            }
            prop_assert_eq!(next, origin + total * frame, "the timeline stays");
            prop_assert!(next > now || next % 500 == 0 && next >= now);
            now = next + late;
        }
    }

    /// Whatever a producer and a connection do, each packet is sent or counted as dropped, and what waits is bounded.
    #[test]
    fn each_packet_is_sent_or_dropped(
        most in 1_u64..40,
        turns in prop::collection::vec((0_u64..60_000, 0_u64..6, 0_u64..6, any::<bool>()), 1..300),
        is_live in any::<bool>(),
    ) {
        let mut cursor = Cursor::new(0, FRAME, most);
        let mut tape = Span { head: 0, end: 0, finished: false, live: is_live };
        let (mut now, mut sent, mut told) = (0, 0, 0);
        for (later, appended, taken, forgets) in turns {
            now += later;
            tape.end += appended;
            if forgets {
                tape.head = tape.end.saturating_sub(20);
            }
            cursor.advance(now, tape);
            prop_assert!(cursor.due() <= tape.end);
            prop_assert!(cursor.due() - cursor.next() <= most);
            if let Some((news, total)) = cursor.take_dropped() {
                told += news;
                prop_assert_eq!(told, total);
            }
            let before = cursor.next();
            cursor.sent(taken);
            sent += cursor.next() - before;
            prop_assert_eq!(sent + cursor.counters().dropped, cursor.next());
        }
    }
}
