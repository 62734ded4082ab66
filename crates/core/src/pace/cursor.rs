//! One listener's place on a tape.

use super::{MOST_LATE, on_grid};

/// What a cursor has to know of its tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Number of the oldest packet that is kept.
    pub head: u64,
    /// Number of the packet that comes next.
    pub end: u64,
    /// Nothing more will come.
    pub finished: bool,
    /// Packets go when they come.
    pub live: bool,
}

/// When a cursor wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// At that time.
    At(u64),
    /// When something has come to the tape, or it is finished.
    OnNews,
    /// When it was told to go on.
    Never,
}

/// What has happened to a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that were left out because the connection was too slow, or the tape forgot them.
    pub dropped: u64,
    /// Times that somebody came too late to ask, and the timeline was moved.
    pub stalls: u64,
    /// Times that a packet was not there when its time came.
    pub underruns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next packet is not there; its time will be when it comes.
    Waiting,
    /// The next packet's time.
    At(u64),
    /// Packets go when they come.
    Live,
    Ended,
}

/// One listener's place on a tape, and its timeline.
///
/// Packet n goes at the time of the first one and n times the duration of a packet, whenever the packets before it really
/// went: lateness doesn't add up. The timeline is moved only where a packet is not there in time, or where nobody asked
/// for so long that catching up would be a burst.
#[derive(Debug, Clone)]
pub struct Cursor {
    frame: u64,
    most_waiting: u64,
    next: u64,
    due: u64,
    state: State,
    paused: bool,
    told_end: bool,
    untold: u64,
    counters: Counters,
}

impl Cursor {
    /// Begins at a packet as soon as it is there.
    ///
    /// # Arguments
    /// * `frame` — what a packet lasts, in microseconds; more than 0.
    /// * `most_waiting` — packets whose time has come that may wait; more than 0.
    pub fn new(position: u64, frame: u64, most_waiting: u64) -> Self {
        Self {
            frame: frame.max(1),
            most_waiting: most_waiting.max(1),
            next: position,
            due: position,
            state: State::Waiting,
            paused: false,
            told_end: false,
            untold: 0,
            counters: Counters::default(),
        }
    }

    /// Number of the next packet to be sent.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Number of the first packet whose time has not come.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Whether there are packets whose time has come and that were not sent.
    pub fn owes(&self) -> bool {
        self.next < self.due
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The time of a packet whose time has come, as the timeline is now; None where it has none.
    pub fn deadline(&self, packet: u64) -> Option<u64> {
        match self.state {
            State::At(next) => next.checked_sub(self.due.checked_sub(packet)? * self.frame),
            _ => None,
        }
    }

    /// So many packets were sent.
    pub fn sent(&mut self, packets: u64) {
        self.next = (self.next + packets).min(self.due);
    }

    /// Finds out which packets' time has come.
    ///
    /// # Returns
    /// When to ask again, and by how many microseconds this was too late where that moved the timeline.
    pub fn advance(&mut self, now: u64, tape: Span) -> (Advance, Option<u64>) {
        self.forgotten(tape.head);
        let mut stalled = None;
        if self.paused {
            return (Advance::Never, stalled);
        }
        loop {
            match self.state {
                State::Ended => return (Advance::Never, stalled),
                State::Waiting if tape.live => self.state = State::Live,
                State::Live => {
                    self.due = tape.end.max(self.due);
                    self.shed();
                    if !tape.finished {
                        return (Advance::OnNews, stalled);
                    }
                    self.state = State::Ended;
                }
                State::Waiting if self.due < tape.end => self.state = State::At(on_grid(now)),
                State::Waiting if tape.finished => self.state = State::Ended,
                State::Waiting => return (Advance::OnNews, stalled),
                State::At(deadline) if now < deadline => {
                    self.shed();
                    return (Advance::At(deadline), stalled);
                }
                State::At(_) if self.due >= tape.end => {
                    self.counters.underruns += u64::from(!tape.finished);
                    self.shed();
                    self.state = State::Waiting;
                }
                State::At(deadline) if now - deadline > MOST_LATE * self.frame => {
                    self.counters.stalls += 1;
                    stalled = Some(now - deadline);
                    self.state = State::At(on_grid(now));
                }
                State::At(deadline) => {
                    self.due += 1;
                    self.state = State::At(deadline + self.frame);
                }
            }
        }
    }

    /// Sends nothing more until it is resumed; what is due stays so.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on from where it was, as soon as the packet is there; on a live tape from its end.
    pub fn resume(&mut self, tape: Span) {
        if std::mem::take(&mut self.paused) && self.state != State::Ended {
            self.state = State::Waiting;
            if tape.live {
                self.due = tape.end.max(self.due);
                self.next = self.due;
            }
        }
    }

    /// Goes on somewhere else, maybe on another tape, with values as of [`Cursor::new`]. What was due is forgotten.
    pub fn seek(&mut self, position: u64, frame: u64, most_waiting: u64) {
        self.frame = frame.max(1);
        self.most_waiting = most_waiting.max(1);
        self.next = position;
        self.due = position;
        self.state = State::Waiting;
        self.told_end = false;
    }

    /// Has no tape any more.
    pub fn end(&mut self) {
        self.next = self.due;
        self.state = State::Ended;
    }

    /// Whether the end has come; there may still be something to send.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the end has come and everything was sent; true once.
    pub fn take_end(&mut self) -> bool {
        let news = self.state == State::Ended && !self.owes() && !self.told_end;
        self.told_end |= news;
        news
    }

    /// How many packets were left out since the other side was last told, and all in all.
    pub fn take_dropped(&mut self) -> Option<(u64, u64)> {
        let untold = std::mem::take(&mut self.untold);
        (untold > 0).then_some((untold, self.counters.dropped))
    }

    /// Leaves out the oldest packets of those that wait, where they are too many.
    fn shed(&mut self) {
        let most = self.due.saturating_sub(self.most_waiting);
        self.skip_to(most);
    }

    /// Leaves out what the tape no longer has.
    fn forgotten(&mut self, head: u64) {
        self.skip_to(head);
        self.due = self.due.max(self.next);
    }

    fn skip_to(&mut self, packet: u64) {
        let dropped = packet.saturating_sub(self.next);
        self.next += dropped;
        self.untold += dropped;
        self.counters.dropped += dropped;
    }
}
