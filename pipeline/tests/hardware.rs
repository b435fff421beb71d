//! The process of the decoders in hardware, with a decoder by cores in the place of the hardware: the way of units and frames
//! is the same, and so is what happens when the process dies or hangs half-way.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::{Context, Evidence, Format, Sampling};
use models::{Filter, Fit, Rendition};
use pipeline::decode::video::chain::{Chain, Codec, Family, Memory};
use pipeline::decode::{DecodeError, Facts, Flow, Limits};
use pipeline::inspect::{Detectors, Inspector, Submission, Trials, Watch};
use pipeline::measure::Plan;
use pipeline::sandbox::protocol::{Observer, Report, Request, Seen, WorkError};
use pipeline::sandbox::{Item, Sandbox, SandboxConfig};
use rig::media::{Clip, encode_mp4, scene};
use rustix::process::{Pid, Signal, kill_process};

/// Frames of the clip: more than fit between the processes.
const FRAMES: u32 = 60;

/// What is done to the process at the first frame.
type Deed<'a> = &'a dyn Fn();

struct Notes<'a> {
    facts: Option<Facts>,
    frames: Vec<Seen>,
    deed: Option<Deed<'a>>,
}

impl Observer for Notes<'_> {
    fn facts(&mut self, facts: &Facts) -> Flow {
        assert!(self.facts.replace(facts.clone()).is_none(), "facts came twice");
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        self.frames.push(seen);
        if let Some(deed) = self.deed.take() {
            deed();
        }
        Flow::More
    }
}

/// A chain as hardware has it, made of what every machine has.
fn stand_in(decoder: &str) -> Vec<(Codec, Chain)> {
    let chain = Chain {
        family: Family::V4l2,
        decoder: decoder.to_owned(),
        memory: Memory::System,
        then: vec!["videoconvertscale".to_owned()],
    };
    vec![(Codec::H264, chain)]
}

fn sandbox(hardware: Vec<(Codec, Chain)>) -> Sandbox {
    Sandbox::new(SandboxConfig {
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_weir-sandbox"))),
        start_ms: 10_000,
        hardware,
        ..SandboxConfig::default()
    })
    .unwrap()
}

/// A clip whose pictures all differ, with frames between its key frames.
fn clip() -> Item {
    let clip = Clip { fps: 10, frames: FRAMES, key_frames: 12 };
    let bytes = encode_mp4(clip, |n| scene(320, 240, n)).unwrap();
    Item::from_reader(&bytes[..], 1 << 30).unwrap()
}

fn request(item: &Item, hardware: bool) -> Request {
    let rendition =
        Rendition { width: 160, height: 160, fit: Fit::Within, filter: Filter::Triangle };
    Request {
        format: Format::Mp4,
        bytes: item.len(),
        renditions: vec![rendition],
        measure: Plan::default(),
        limits: Limits::default(),
        max_gap_ms: 1,
        sparing: false,
        threads: 1,
        hardware,
        wall_ms: 60_000,
    }
}

fn decode<'a>(
    sandbox: &Sandbox,
    item: &Item,
    hardware: bool,
    deed: Option<Deed<'a>>,
) -> (Result<Report, WorkError>, Notes<'a>) {
    let mut notes = Notes { facts: None, frames: Vec::new(), deed };
    let outcome = sandbox.decode(item, &request(item, hardware), &mut notes);
    (outcome, notes)
}

/// What decoded, and whether that counts as hardware.
fn element(report: &Report) -> (String, bool) {
    let decoder = report.tally.decoder.clone().unwrap();
    (decoder.element, decoder.hardware)
}

/// Decodes until the other process is there to help, which nothing waits for; its drivers may take their time.
fn ready(sandbox: &Sandbox, item: &Item) {
    let start = Instant::now();
    while sandbox.hardware_process().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come");
        assert_eq!(decode(sandbox, item, true, None).0.unwrap().seen, u64::from(FRAMES));
    }
}

fn signal(sandbox: &Sandbox, signal: Signal) {
    let id = sandbox.hardware_process().unwrap();
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn frames_that_come_from_the_other_process_are_those_that_the_cores_make() {
    let (item, sandbox) = (clip(), sandbox(stand_in("avdec_h264")));
    let (report, by_cores) = decode(&sandbox, &item, false, None);
    let report = report.unwrap();
    assert_eq!(report.seen, u64::from(FRAMES));
    let (name, hardware) = element(&report);
    assert!(name.contains("h264") && !hardware, "{name} {hardware}");
    ready(&sandbox, &item);
    let before = sandbox.hardware_process();
    for round in 0..3 {
        let (report, there) = decode(&sandbox, &item, true, None);
        let report = report.unwrap();
        assert_eq!((report.seen, report.tally.damaged), (u64::from(FRAMES), false), "{round}");
        assert_eq!(element(&report), ("avdec_h264".to_owned(), true));
        assert_eq!(there.facts, by_cores.facts);
        for (a, b) in there.frames.iter().zip(&by_cores.frames) {
            assert_eq!(a.pts_ms, b.pts_ms);
            assert!(a.renditions[0].data() == b.renditions[0].data(), "at {} ms", a.pts_ms);
        }
    }
    assert!(sandbox.hardware_process().is_some() && sandbox.hardware_process() == before);
}

#[test]
fn a_process_that_dies_half_way_costs_the_item_another_try_and_comes_back() {
    let (item, sandbox) = (clip(), sandbox(stand_in("avdec_h264")));
    ready(&sandbox, &item);
    let kill = || signal(&sandbox, Signal::KILL);
    let (outcome, notes) = decode(&sandbox, &item, true, Some(&kill));
    assert!(matches!(outcome, Err(WorkError::Decode(DecodeError::Lost(_)))), "{outcome:?}");
    assert!((1..FRAMES as usize).contains(&notes.frames.len()), "{}", notes.frames.len());
    assert_eq!(sandbox.hardware_process(), None);
    // It does not come back at once: a driver that is broken would cost every item a try.
    let (outcome, _) = decode(&sandbox, &item, true, None);
    assert_eq!(outcome.unwrap().seen, u64::from(FRAMES));
    ready(&sandbox, &item);
}

#[test]
fn a_process_that_hangs_is_given_up_and_ended() {
    let (item, sandbox) = (clip(), sandbox(stand_in("avdec_h264")));
    ready(&sandbox, &item);
    let stop = || signal(&sandbox, Signal::STOP);
    let start = Instant::now();
    let (outcome, _) = decode(&sandbox, &item, true, Some(&stop));
    assert!(matches!(outcome, Err(WorkError::Decode(DecodeError::Lost(_)))), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
    assert_eq!(sandbox.hardware_process(), None);
    assert_eq!(decode(&sandbox, &item, true, None).0.unwrap().seen, u64::from(FRAMES));
}

#[test]
fn decoders_that_cannot_be_made_leave_all_to_the_cores() {
    let (item, sandbox) = (clip(), sandbox(stand_in("nosuchdec")));
    let (outcome, _) = decode(&sandbox, &item, true, None);
    assert_eq!(outcome.unwrap().seen, u64::from(FRAMES));
    assert_eq!(sandbox.hardware_process(), None);
}

#[test]
fn an_item_whose_decoder_dies_is_judged_whole_all_the_same() {
    let (item, sandbox) = (clip(), Arc::new(sandbox(stand_in("avdec_h264"))));
    ready(&sandbox, &item);
    let inspector = Inspector::new(
        Arc::clone(&sandbox),
        Detectors { quality: Some("quality".to_owned()), ..Detectors::default() },
        Limits::default(),
        600_000,
    );
    let killed = AtomicBool::new(false);
    let watch = Watch {
        required: &["quality".to_owned()],
        sampling: Sampling::usual(1),
        settled: &|_: &Evidence| false,
        lists: None,
        trials: Trials::NONE,
        decode_threads: 1,
        decoded: &|| {},
        // Told at each frame.
        progress: &|step| {
            if step.percent > 0 && step.percent < 100 && !killed.swap(true, Ordering::Relaxed) {
                signal(&sandbox, Signal::KILL);
            }
        },
    };
    let context = Context::default();
    let media = std::slice::from_ref(&item);
    let submission = Submission { caption: None, name: None, context, media };
    let inspection = inspector.inspect(&submission, &watch);
    assert!(killed.load(Ordering::Relaxed), "it was never in hand");
    assert_eq!(inspection.evidence.failures, []);
    let coverage = inspection.evidence.coverage;
    assert_eq!(coverage.frames_seen, u64::from(FRAMES));
    assert_eq!(coverage.detectors_missing, Vec::<String>::new());
    let decoder = inspection.decoders.get(&0).unwrap();
    assert!(!decoder.hardware, "the cores did it in the end: {decoder:?}");
}
