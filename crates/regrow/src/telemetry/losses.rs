//! How often losses are told: the first at once, then all of a minute together.

use std::time::{Duration, Instant};

/// The shortest time between two news.
const NEWS_EVERY: Duration = Duration::from_secs(60);

/// What was lost and not told yet.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    untold: u64,
    told_at: Option<Instant>,
}

impl Losses {
    /// `lost` more were lost, or none; how many to tell now, if it is time for it.
    pub(crate) fn note(&mut self, lost: u64, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(lost);
        let is_due = self
            .told_at
            .is_none_or(|at| now.saturating_duration_since(at) >= NEWS_EVERY);
        if self.untold == 0 || !is_due {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loss_is_told_at_once_and_the_next_after_a_minute_together() {
        let (mut losses, begin) = (Losses::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(losses.note(0, at(0)), None);
        assert_eq!(losses.note(3, at(1)), Some(3));
        assert_eq!(losses.note(4, at(2)), None);
        assert_eq!(losses.note(5, at(60)), None);
        assert_eq!(losses.note(0, at(61)), Some(9));
        assert_eq!(losses.note(0, at(200)), None);
        assert_eq!(losses.note(1, at(201)), Some(1));
    }
}
