//! How far an inspection has come, for people who wait for it.

/// What is done with a medium, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It becomes pictures; models look at them as they come.
    Decode,
    /// All pictures are here, and models have yet to answer on some of them.
    Detect,
}

/// How much of a step is done. A medium that is tried again, or has parts, goes through its steps more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Index of the medium.
    pub media: usize,
    /// What is being done.
    pub step: Step,
    /// 0 to 100; 100 also for what was ended early or failed.
    pub percent: u8,
}

/// Percent of a whole while it is not done: at most 99.
pub(super) fn so_far(done: u64, whole: u64) -> u8 {
    let percent = done.saturating_mul(100).checked_div(whole).unwrap_or(0);
    percent.min(99) as u8
}
