//! The sink of a worker: passes over near-duplicates, measures, renders, and hands over.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use domain::MediaKind;
use models::RgbImage;
use rustix::io::{Errno, pwrite};
use rustix::net::{RecvFlags, recv};

use super::codecs::{Analyser, Signature, resample, within};
use super::{Codecs, GAVE_UP, Input};
use crate::decode::{Facts, Flow, Frame, Need, Sink, Tally};
use crate::measure::Measures;
use crate::sandbox::protocol::Report;
use crate::sandbox::sys;
use crate::sandbox::wire::{self, Command, Head, MAX_QR, MAX_TEXT, Order, Said};

/// Carries frames from decoder to host.
pub(super) struct Courier<'a> {
    socket: &'a OwnedFd,
    order: &'a Order,
    pixels: &'a OwnedFd,
    input: &'a Input,
    codecs: &'a dyn Codecs,
    analyser: Analyser,
    moving: bool,
    /// Upright full size, by the facts.
    source: (u32, u32),
    last: Option<Signature>,
    credits: u32,
    stopped: bool,
    seen: u64,
    skipped: u64,
    in_sink: Duration,
    measuring: Duration,
}

impl<'a> Courier<'a> {
    pub(super) fn new(
        socket: &'a OwnedFd,
        order: &'a Order,
        pixels: &'a OwnedFd,
        input: &'a Input,
        codecs: &'a dyn Codecs,
    ) -> Self {
        Self {
            socket,
            order,
            pixels,
            input,
            codecs,
            analyser: Analyser::new(order.request.measure),
            moving: true,
            source: (0, 0),
            last: None,
            credits: order.ring.slots,
            stopped: false,
            seen: 0,
            skipped: 0,
            in_sink: Duration::ZERO,
            measuring: Duration::ZERO,
        }
    }

    /// What was done, once the decoder is through.
    pub(super) fn report(&self, tally: Tally, total: Duration) -> Report {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Report {
            tally,
            seen: self.seen,
            skipped: self.skipped,
            decode_us: micros(total.saturating_sub(self.in_sink)),
            measure_us: micros(self.measuring),
        }
    }

    fn take_frame(&mut self, frame: &Frame) {
        if self.moving {
            let signature = Signature::of(&frame.image);
            if self.last.as_ref().is_some_and(|last| !signature.differs(last)) {
                self.skipped += 1;
                return;
            }
            self.last = Some(signature);
        }
        let measures = self.measure(&frame.image);
        // The slot is free only once the host has copied out what was in it.
        while self.credits == 0 && !self.stopped {
            self.listen(RecvFlags::empty());
        }
        if self.stopped {
            return;
        }
        self.credits = self.credits.saturating_sub(1);
        let mut offset = self.order.ring.offset(self.seen);
        let mut sizes = Vec::with_capacity(self.order.request.renditions.len());
        for &rendition in &self.order.request.renditions {
            let image = resample(&frame.image, rendition);
            self.put(image.data(), offset);
            offset += image.data().len() as u64;
            sizes.push((image.width(), image.height()));
        }
        self.seen += 1;
        self.say(&Said::Frame(Head { pts_ms: frame.pts_ms, measures, sizes }));
    }

    fn measure(&mut self, image: &RgbImage) -> Measures {
        let started = Instant::now();
        // Only the first frame of a picture can be had again at another scale without decoding all before it.
        let again = self.seen == 0 && self.order.request.format.is_still();
        let (input, codecs, request) = (self.input, self.codecs, &self.order.request);
        let mut redecode = |long_side: u32| {
            if !again {
                return None;
            }
            let need = Need {
                renditions: vec![within(long_side)],
                max_gap_ms: request.max_gap_ms,
                sparing: request.sparing,
                threads: request.threads,
            };
            let mut first = First(None);
            // The decoder has read these bytes once already: an error now has no news.
            let _ = codecs.decode(input, request.format, &need, &request.limits, &mut first);
            first.0
        };
        let mut measures = self.analyser.analyse(image, self.source, &mut redecode);
        shorten(&mut measures);
        self.measuring += started.elapsed();
        measures
    }

    fn put(&self, mut bytes: &[u8], mut offset: u64) {
        while !bytes.is_empty() {
            match wire::retry(|| pwrite(self.pixels, bytes, offset)) {
                Ok(count) if count > 0 => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    offset += count as u64;
                }
                _ => sys::exit_now(GAVE_UP),
            }
        }
    }

    fn say(&self, said: &Said) {
        if wire::tell(self.socket, said, &[]).is_err() {
            // Nobody listens any more.
            sys::exit_now(GAVE_UP);
        }
    }

    /// Takes in one command; with `DONTWAIT` only if there is one. Gives whether there was.
    fn listen(&mut self, flags: RecvFlags) -> bool {
        let mut byte = [0; 1];
        match wire::retry(|| recv(self.socket, &mut byte, flags)) {
            Ok((1, _)) if byte == [Command::Credit as u8] => self.credits += 1,
            Ok((1, _)) if byte == [Command::Stop as u8] => self.stopped = true,
            Err(Errno::AGAIN) => return false,
            _ => sys::exit_now(GAVE_UP),
        }
        true
    }

    fn flow(&mut self) -> Flow {
        while self.listen(RecvFlags::DONTWAIT) {}
        let spent = self.seen + self.skipped >= u64::from(self.order.request.limits.max_frames);
        if self.stopped || spent { Flow::Enough } else { Flow::More }
    }
}

impl Sink for Courier<'_> {
    fn facts(&mut self, facts: Facts) -> Flow {
        self.source = (facts.width, facts.height);
        self.moving = facts.kind != MediaKind::Image;
        self.say(&Said::Facts(facts));
        self.flow()
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        let started = Instant::now();
        if self.flow() == Flow::More {
            self.take_frame(&frame);
        }
        let flow = self.flow();
        self.in_sink += started.elapsed();
        flow
    }
}

/// Keeps the first frame.
struct First(Option<RgbImage>);

impl Sink for First {
    fn facts(&mut self, _: Facts) -> Flow {
        Flow::More
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        self.0.get_or_insert(frame.image);
        Flow::Enough
    }
}

/// Brings texts within the bounds of a message, and tells what that lost.
fn shorten(measures: &mut Measures) {
    let (most, mut bytes) = MAX_QR;
    let mut lost = measures.qr.len() > most;
    measures.qr.truncate(most);
    for code in &mut measures.qr {
        lost |= cut(code, bytes);
        bytes -= code.len();
    }
    if lost {
        measures
            .qr_failed
            .get_or_insert_with(|| "more in QR codes than a message holds".to_owned());
    }
    if let Some(words) = &mut measures.words
        && cut(&mut words.text, MAX_TEXT)
    {
        measures.ocr_failed.get_or_insert_with(|| "more text than a message holds".to_owned());
    }
}

/// Cuts a text to so many bytes; gives whether that was necessary.
fn cut(text: &mut String, most: usize) -> bool {
    let long = text.len() > most;
    text.truncate(text.floor_char_boundary(most));
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Words;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "aé".to_owned();
        assert!(cut(&mut text, 2));
        assert_eq!(text, "a");
        assert!(!cut(&mut text, 1));
    }

    #[test]
    fn what_a_message_cannot_hold_is_told() {
        let mut measures = Measures {
            qr: vec![String::new(); MAX_QR.0 + 1],
            words: Some(Words { text: "a".repeat(MAX_TEXT + 1), confident: 1 }),
            ..Measures::default()
        };
        shorten(&mut measures);
        assert_eq!(measures.qr.len(), MAX_QR.0);
        assert!(measures.qr_failed.is_some() && measures.ocr_failed.is_some());
        let mut short = Measures { qr: vec!["a".to_owned()], ..Measures::default() };
        shorten(&mut short);
        assert_eq!(short.qr_failed, None);
    }
}
