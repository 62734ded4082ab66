/// Turns the times of a container into one timeline that never goes back.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    shift: i64,
    /// First audible sample of the last packet, and the end of what is audible of it.
    last: Option<(i64, i64)>,
    align: bool,
}

/// Samples that a container may claim at most, some 2900 years: what is beyond is damage, and sums can't overflow.
pub(super) const FARTHEST: i64 = 1 << 52;

impl Timeline {
    /// The next packet begins a stream anew: it follows the last one, whatever its container says.
    pub(super) fn restart(&mut self) {
        self.align = self.last.is_some();
    }

    /// Place a packet.
    ///
    /// `time` is what its container says, within ±[`FARTHEST`]; `tick` the container's resolution: a packet that is no
    /// further than that from the end of the one before follows it exactly. All in samples.
    pub(super) fn place(&mut self, time: i64, duration: u32, discard: (u32, u32), tick: i64) -> i64 {
        let (start, end) = (i64::from(discard.0), i64::from(discard.1));
        let mut placed = time + self.shift;
        if let Some((last, next)) = self.last {
            if self.align || placed + start < last {
                placed = next - start;
                self.shift = placed - time;
            } else if (placed + start - next).abs() <= tick {
                placed = next - start;
            }
        }
        self.align = false;
        self.last = Some((placed + start, placed + i64::from(duration) - end));
        placed
    }
}
