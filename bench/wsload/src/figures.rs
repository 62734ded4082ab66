//! What was counted, and how punctual it was.

/// When each packet came, by the clock of the kernel that took it in.
pub struct Seen {
    counting: bool,
    times: Vec<Vec<i64>>,
    bytes: u64,
    texts: u64,
    last_text: String,
}

impl Seen {
    pub fn new(listeners: usize) -> Self {
        Self { counting: false, times: vec![Vec::new(); listeners], bytes: 0, texts: 0, last_text: String::new() }
    }

    pub fn begin(&mut self) {
        *self = Self::new(self.times.len());
        self.counting = true;
    }

    /// A packet came, at a time in microseconds.
    pub fn packet(&mut self, listener: usize, bytes: usize, at: i64) {
        if self.counting {
            self.times[listener].push(at);
            self.bytes += bytes as u64;
        }
    }

    pub fn text(&mut self, payload: &[u8]) {
        self.texts += 1;
        self.last_text = String::from_utf8_lossy(payload).into_owned();
    }

    /// What the last message said that was no packet.
    pub fn last_text(&self) -> &str {
        &self.last_text
    }

    /// Counts no more, and tells in JSON: `late` is by how much each packet came later than on a timeline of its
    /// listener's own, on which the most punctual packet is not late; `apart` by how much it came earlier or later after
    /// the one before than a packet lasts; `slow` how many parts in a thousand the stream was slower than real time.
    pub fn end(&mut self, frame: i64) -> String {
        self.counting = false;
        let (mut late, mut apart, mut slow) = (Vec::new(), Vec::new(), Vec::new());
        for times in &self.times {
            let offsets: Vec<i64> = times.iter().zip(0_i64..).map(|(at, number)| at - number * frame).collect();
            let Some(least) = offsets.iter().min() else { continue };
            late.extend(offsets.iter().map(|offset| offset - least));
            apart.extend(times.windows(2).map(|pair| (pair[1] - pair[0] - frame).abs()));
            if let [first, .., last] = times[..] {
                let length = (times.len() as i64 - 1) * frame;
                slow.push((last - first - length) * 1_000_000 / length);
            }
        }
        let packets: usize = self.times.iter().map(Vec::len).sum();
        let silent = self.times.iter().filter(|times| times.is_empty()).count();
        format!(
            r#"{{"seen": {{"packets": {packets}, "bytes": {}, "texts": {}, "text": {:?}, "silent": {silent}, "late": {}, "apart": {}, "slow": {}}}}}"#,
            self.bytes,
            self.texts,
            self.last_text,
            shares(late),
            shares(apart),
            shares(slow)
        )
    }
}

/// Median, 99th and 99.9th percentile, and the greatest.
fn shares(mut values: Vec<i64>) -> String {
    values.sort_unstable();
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).or(values.last()).copied().unwrap_or(0);
    format!(r#"[{}, {}, {}, {}]"#, at(0.5), at(0.99), at(0.999), at(1.0))
}
