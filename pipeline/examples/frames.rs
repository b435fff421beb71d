//! Prints the facts, frames and tally of one video file: `frames FILE [GAP_MS [SIDE [THREADS]]]`.

use std::error::Error;
use std::time::Instant;

use domain::Format;
use models::{Filter, Fit, Rendition};
use pipeline::decode::{Facts, Flow, Frame, Limits, Need, Sink, video};

struct Print {
    start: Instant,
}

impl Sink for Print {
    fn facts(&mut self, facts: Facts) -> Flow {
        println!("{facts:?}");
        Flow::More
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        let (w, h) = (frame.image.width(), frame.image.height());
        let sum: u64 = frame.image.data().iter().map(|b| u64::from(*b)).sum();
        let mean = sum / frame.image.data().len().max(1) as u64;
        println!(
            "{:>8} ms  {w} × {h}  mean {mean}  after {:?}",
            frame.pts_ms,
            self.start.elapsed()
        );
        Flow::More
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number =
        |at: usize, default: u32| arguments.get(at).map_or(Ok(default), |text| text.parse::<u32>());
    let file = std::fs::File::open(arguments.get(1).ok_or("which file?")?)?;
    let side = number(3, 640)?;
    let need = Need {
        renditions: vec![Rendition {
            width: side,
            height: side,
            fit: Fit::Within,
            filter: Filter::Triangle,
        }],
        max_gap_ms: u64::from(number(2, 1000)?),
        sparing: false,
        threads: number(4, 2)?,
    };
    let start = Instant::now();
    video::preload()?;
    println!("preload took {:?}", start.elapsed());
    let start = Instant::now();
    let tally =
        video::decode(file, Format::Unknown, &need, &Limits::default(), &mut Print { start });
    println!("{tally:?} in {:?}", start.elapsed());
    Ok(())
}
