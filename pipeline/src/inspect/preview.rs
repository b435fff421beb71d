//! What a person far away may look at: one small picture of a medium, of one moment or of a few.

use domain::{Failure, MediaKind};
use models::{Filter, Fit, Rendition, RgbImage, resample};

use super::Inspector;
use super::outcome::failure_of;
use crate::decode::{Facts, Flow};
use crate::sandbox::Item;
use crate::sandbox::protocol::{Observer, Seen};
use crate::sniff::sniff;

/// The longest side of a preview, in pixels: enough to judge by, too little to be passed on.
pub const LONG_SIDE: u32 = 512;

/// The picture, no larger than a preview may be.
pub fn small(image: &RgbImage) -> RgbImage {
    resample(image, within())
}

impl Inspector {
    /// A preview: the frame nearest to a moment among those that would be looked at, or what a sheet shows where no moment is named;
    /// `None` of what has nothing for the eye.
    ///
    /// # Errors
    /// Why it cannot be decoded; permanent, where another day would not help.
    pub fn preview(
        &self,
        item: &Item,
        at_ms: Option<u64>,
        max_gap_ms: u64,
    ) -> Result<Option<RgbImage>, Failure> {
        let Some(at_ms) = at_ms else {
            let sheet = self.sheet(item, &[], max_gap_ms, 1)?;
            return Ok(sheet.map(|sheet| small(&sheet.image)));
        };
        let format = sniff(item.bytes());
        if !format.is_still() && !format.is_stream() {
            return Ok(None);
        }
        let request = self.for_the_eye(format, item, within(), max_gap_ms, 1);
        let mut pick = Pick { at_ms, moving: false, nearest: None };
        match self.sandbox.decode(item, &request, &mut pick) {
            // What could be seen of a medium that breaks off is shown.
            Err(error) if pick.nearest.is_none() => Err(failure_of(&error, 0)),
            _ => Ok(pick.nearest.map(|(_, image)| image)),
        }
    }
}

fn within() -> Rendition {
    Rendition { width: LONG_SIDE, height: LONG_SIDE, fit: Fit::Within, filter: Filter::Triangle }
}

/// The frame nearest to a moment; of a still the first.
struct Pick {
    at_ms: u64,
    moving: bool,
    nearest: Option<(u64, RgbImage)>,
}

impl Observer for Pick {
    fn facts(&mut self, facts: &Facts) -> Flow {
        self.moving = facts.kind != MediaKind::Image;
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        let Some(image) = seen.renditions.into_iter().next() else { return Flow::More };
        let far = |at: u64| at.abs_diff(self.at_ms);
        match &self.nearest {
            // They come in the order of the time line: none behind it is nearer.
            Some((known, _)) if !self.moving || far(*known) <= far(seen.pts_ms) => Flow::Enough,
            _ => {
                self.nearest = Some((seen.pts_ms, image));
                Flow::More
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::Format;

    use super::*;

    fn picked(at_ms: u64, kind: MediaKind, times: &[u64]) -> u64 {
        let format = Format::Mp4;
        let facts =
            Facts { kind, format, width: 640, height: 480, duration_ms: None, frames: None };
        let mut pick = Pick { at_ms, moving: false, nearest: None };
        pick.facts(&facts);
        for time in times {
            let image = RgbImage::new(1, 1, vec![0; 3]).unwrap();
            let seen =
                Seen { pts_ms: *time, measures: Default::default(), renditions: vec![image] };
            if let Flow::Enough = pick.frame(seen) {
                break;
            }
        }
        pick.nearest.unwrap().0
    }

    #[test]
    fn the_frame_nearest_to_the_moment_is_shown() {
        let times = [0, 1_000, 2_000, 3_000];
        for (at, shown) in [(0, 0), (499, 0), (501, 1_000), (2_100, 2_000), (90_000, 3_000)] {
            assert_eq!(picked(at, MediaKind::Video, &times), shown, "{at}");
        }
        assert_eq!(picked(0, MediaKind::Video, &[700]), 700, "there is no other");
        assert_eq!(picked(5, MediaKind::Image, &[0, 5]), 0, "a page is no moment");
    }
}
