//! A participant of a conference, and the group of those who want to hear the same format.

use super::{
    Id,
    config::RoomConfig,
    format::{InputFormat, OutputFormat},
    seat::Seat,
    select::Talker,
    source::Source,
    splice::Follower,
    stage::Stage,
    stream::Stream,
};
use crate::Result;

/// A listener's stream of their own.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) stream: Stream,
    /// Whether it now gives the same sound as the shared stream, so that the listener may return there.
    pub(super) returning: bool,
    /// Follows the listener's decoder meanwhile.
    pub(super) follower: Option<Follower>,
}

impl Own {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, returning: false, follower: None }
    }

    pub(super) fn set_returning(&mut self, returning: bool) {
        self.returning = returning;
        if !returning {
            self.follower = None;
        }
    }
}

#[derive(Debug)]
pub(super) struct Participant {
    pub(super) seat: Seat,
    pub(super) source: Source,
    pub(super) output: Option<OutputFormat>,
    /// Where the output's format is among the groups; only meaningful within a tick.
    pub(super) group: Option<usize>,
    pub(super) own: Option<Own>,
}

impl AsMut<Talker> for Participant {
    fn as_mut(&mut self) -> &mut Talker {
        &mut self.seat.talker
    }
}

impl AsRef<Seat> for Participant {
    fn as_ref(&self) -> &Seat {
        &self.seat
    }
}

/// All who want the same format.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) format: OutputFormat,
    /// `None` while all of them have streams of their own.
    pub(super) stream: Option<Stream>,
    pub(super) follower: Option<Follower>,
    /// Who hears the shared stream in this tick.
    pub(super) sharing: usize,
    /// Who might return to it.
    pub(super) returning: usize,
}

impl Group {
    pub(super) fn new(format: OutputFormat) -> Self {
        Self { format, stream: None, follower: None, sharing: 0, returning: 0 }
    }
}

impl Participant {
    pub(super) fn new(id: Id, input: InputFormat, output: Option<OutputFormat>, room: &RoomConfig) -> Result<Self> {
        let source = Source::new(input, room)?;
        Ok(Self { seat: Seat::new(id), source, output, group: None, own: None })
    }

    /// Take a lane and stream of one's own where one's voice is in the mix, and give them up where that makes no
    /// difference.
    pub(super) fn part(&mut self, stage: &Stage, group: &mut Group) {
        if self.seat.mixed() {
            if self.seat.lane.is_none() {
                self.seat.lane = Some(stage.fork());
            }
            match (&mut self.own, &group.stream) {
                (Some(own), _) => own.set_returning(false),
                (None, Some(stream)) => self.own = Some(Own::new(stream.clone())),
                (None, None) => {}
            }
            return;
        }
        if self.own.is_some() && self.seat.lane.is_none() {
            self.seat.lane = Some(stage.fork());
        }
        let same = self.seat.lane.as_ref().is_none_or(|lane| stage.same(lane));
        if same && group.stream.is_none() {
            // Nobody hears the shared stream: it becomes what this one has heard.
            group.stream = self.own.take().map(|own| own.stream);
            self.seat.lane = None;
        }
        match &mut self.own {
            Some(own) => {
                own.set_returning(same);
                group.returning += usize::from(same);
            }
            None => {
                self.seat.lane = None;
                group.sharing += 1;
            }
        }
    }

    /// Whether this listener, having heard all the same things for a while, can be given the shared stream's packet.
    pub(super) fn returns(&mut self, group: Option<&Follower>, packet: &[u8]) -> Result<bool> {
        let Some(own) = self.own.as_mut().filter(|own| own.returning) else { return Ok(false) };
        let Some(group) = group else { return Ok(true) };
        if own.follower.is_none() {
            own.follower = Follower::new(own.stream.format())?;
        }
        let (Some(follower), Some(theirs)) = (&mut own.follower, own.stream.packet()) else { return Ok(false) };
        if follower.joins(group, packet)? {
            return Ok(true);
        }
        follower.hear(theirs)?;
        Ok(false)
    }
}
