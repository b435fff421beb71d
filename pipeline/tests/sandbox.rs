//! What holds when a decoder is in an attacker's hands, tried with a decoder that is (`examples/hostile.rs`).

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use domain::Format;
use models::{Filter, Fit, Rendition, RgbImage};
use pipeline::decode::{DecodeError, Facts, Flow, Limits};
use pipeline::measure::Plan;
use pipeline::sandbox::protocol::{Observer, Report, Request, Seen, WorkError};
use pipeline::sandbox::{Item, Level, Sandbox, SandboxConfig};

/// Collects what it is told, and has enough after some frames.
struct Notes {
    facts: Option<Facts>,
    frames: Vec<Seen>,
    enough: usize,
}

impl Observer for Notes {
    fn facts(&mut self, facts: &Facts) -> Flow {
        assert!(self.facts.replace(facts.clone()).is_none(), "facts came twice");
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        self.frames.push(seen);
        if self.frames.len() >= self.enough { Flow::Enough } else { Flow::More }
    }
}

fn hostile() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent().unwrap().parent().unwrap().join("examples/hostile");
    assert!(path.is_file(), "no {}; cargo build --examples makes it", path.display());
    path
}

fn quick(program: PathBuf) -> SandboxConfig {
    SandboxConfig {
        program: Some(program),
        wall_ms_still: 400,
        wall_ms_stream: 400,
        start_ms: 10_000,
        ..SandboxConfig::default()
    }
}

fn square(side: u32) -> Rendition {
    Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle }
}

fn request(item: &Item, format: Format) -> Request {
    Request {
        format,
        bytes: item.len(),
        renditions: vec![square(32)],
        measure: Plan::default(),
        limits: Limits::default(),
        max_gap_ms: 1000,
        sparing: false,
        hardware: true,
        threads: 1,
        wall_ms: 60_000,
    }
}

fn run(sandbox: &Sandbox, deed: &str, enough: usize) -> (Result<Report, WorkError>, Notes) {
    let item = Item::from_reader(deed.as_bytes(), 1 << 20).unwrap();
    let mut notes = Notes { facts: None, frames: Vec::new(), enough };
    let outcome = sandbox.decode(&item, &request(&item, Format::Gif), &mut notes);
    (outcome, notes)
}

fn outcome(sandbox: &Sandbox, deed: &str) -> Result<Report, WorkError> {
    let outcome = run(sandbox, deed, usize::MAX).0;
    // Each deed costs its own item only.
    let (next, notes) = run(sandbox, "good", usize::MAX);
    assert_eq!(next.unwrap().seen, 1, "the item after {deed}");
    assert_eq!(notes.frames.len(), 1);
    outcome
}

/// Processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let of = |pid: &u32| stat(pid).rsplit(") ").next()?.split(' ').nth(1)?.parse::<u32>().ok();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| of(pid) == Some(parent)).collect()
}

/// Waits until a child that was killed runs no more: on a busy machine it may go on for a moment.
fn ended(child: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    while state().rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    {
        assert!(Instant::now() < deadline, "{child} lives on");
        std::thread::yield_now();
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_picture_comes_through_the_real_program() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_weir-sandbox"));
    let sandbox = Sandbox::new(quick(program)).unwrap();
    let mut bytes = b"P6\n4 2\n255\n".to_vec();
    let pixels: Vec<u8> = (0..24).map(|n| n * 10).collect();
    bytes.extend_from_slice(&pixels);
    let item = Item::from_reader(&bytes[..], 1 << 20).unwrap();
    let mut notes = Notes { facts: None, frames: Vec::new(), enough: usize::MAX };
    let report = sandbox.decode(&item, &request(&item, Format::Pnm), &mut notes).unwrap();
    assert_eq!((report.seen, report.skipped), (1, 0));
    let facts = notes.facts.unwrap();
    assert_eq!((facts.width, facts.height), (4, 2));
    let whole = RgbImage::new(4, 2, pixels).unwrap();
    assert_eq!(notes.frames[0].renditions, [whole]);
}

#[test]
fn damaged_bytes_are_the_decoders_no() {
    let sandbox = Sandbox::new(quick(PathBuf::from(env!("CARGO_BIN_EXE_weir-sandbox")))).unwrap();
    let item = Item::from_reader(&b"P6\n4 2\n255\nshort"[..], 1 << 20).unwrap();
    let mut notes = Notes { facts: None, frames: Vec::new(), enough: usize::MAX };
    let error = sandbox.decode(&item, &request(&item, Format::Qoi), &mut notes).unwrap_err();
    assert!(matches!(error, WorkError::Decode(_)), "{error}");
}

#[test]
fn a_decoder_that_dies_is_a_crash() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    for (deed, cause) in [("segv", "signal 11"), ("abort", "signal 6"), ("panic", "status 101")] {
        assert_eq!(outcome(&sandbox, deed), Err(WorkError::Crashed(cause.to_owned())), "{deed}");
    }
}

#[test]
fn a_decoder_that_hangs_is_stopped_at_its_limit() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    for deed in ["spin", "sleep"] {
        let started = Instant::now();
        assert_eq!(outcome(&sandbox, deed), Err(WorkError::TimedOut(400)), "{deed}");
        assert!(started.elapsed() < Duration::from_secs(3), "{deed}: {:?}", started.elapsed());
    }
}

#[test]
fn cpu_time_is_limited_too() {
    let config = SandboxConfig { cpu_s_still: 1, wall_ms_still: 8_000, ..quick(hostile()) };
    let sandbox = Sandbox::new(config).unwrap();
    let started = Instant::now();
    assert!(matches!(outcome(&sandbox, "spin"), Err(WorkError::TimedOut(_))));
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
}

#[test]
fn memory_is_limited() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    assert_eq!(outcome(&sandbox, "memory"), Err(WorkError::Crashed("signal 6".to_owned())));
}

#[test]
fn system_calls_beyond_decoding_kill() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let deeds = [
        "fork",
        "exec",
        "socket",
        "kill",
        "signal-parent",
        "ptrace",
        "unlink",
        "truncate",
        "namespace",
        "limits",
    ];
    for deed in deeds {
        let error = outcome(&sandbox, deed).unwrap_err();
        assert!(
            matches!(&error, WorkError::Crashed(cause) if cause.starts_with("signal 31")),
            "{deed}: {error}"
        );
    }
}

#[test]
fn files_cannot_be_opened_made_seen_or_changed() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let denied = |errno: i32| {
        Err(WorkError::Decode(DecodeError::Damaged(format!("refused: Some({errno})"))))
    };
    for deed in ["open", "proc", "create", "stat", "list", "executable"] {
        assert_eq!(outcome(&sandbox, deed), denied(libc::EACCES), "{deed}");
    }
    for deed in ["write-item", "grow-pixels"] {
        assert_eq!(outcome(&sandbox, deed), denied(libc::EPERM), "{deed}");
    }
}

#[test]
fn a_worker_holds_its_socket_its_item_its_pixels_and_nothing_else() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let WorkError::Decode(DecodeError::Damaged(open)) =
        outcome(&sandbox, "descriptors").unwrap_err()
    else {
        panic!("no list of descriptors");
    };
    assert_eq!(open.trim_start_matches(['i', 'n']), "ps", "{open}");
    assert_eq!(open.matches('i').count(), 1, "{open}");
}

#[test]
fn threads_are_allowed() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    assert_eq!(outcome(&sandbox, "thread").unwrap().seen, 1);
}

#[test]
fn what_cannot_be_true_is_a_lie() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let deeds = [
        "no-facts",
        "early-report",
        "garbage",
        "wide",
        "zero",
        "overflow",
        "pictures",
        "order",
        "nan",
        "quality",
        "trailing",
        "oversize",
        "count",
        "flood",
        "chatter",
        "huge-facts",
        "bad-text",
        "twice-ready",
    ];
    for deed in deeds {
        let error = outcome(&sandbox, deed).unwrap_err();
        assert!(matches!(error, WorkError::Lied(_)), "{deed}: {error}");
    }
}

#[test]
fn a_forged_end_is_a_crash() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    for deed in ["forged-end", "empty"] {
        let error = outcome(&sandbox, deed).unwrap_err();
        assert!(matches!(error, WorkError::Crashed(_)), "{deed}: {error}");
    }
}

#[test]
fn pixels_that_change_under_the_host_stay_pixels() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let (report, notes) = run(&sandbox, "mutate", usize::MAX);
    assert_eq!(report.unwrap().seen, 50);
    assert!(notes.frames.iter().all(|f| f.renditions[0].data().len() == 32 * 24 * 3));
}

#[test]
fn a_workers_words_carry_no_control_characters() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let error = outcome(&sandbox, "unknown").unwrap_err().to_string();
    assert!(error.contains("unknown") && !error.contains(char::is_control), "{error:?}");
}

#[test]
fn many_frames_come_in_order_through_few_slots() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let (report, notes) = run(&sandbox, "many", usize::MAX);
    assert_eq!(report.unwrap().seen, 400);
    for (number, seen) in notes.frames.iter().enumerate() {
        assert_eq!(seen.pts_ms, number as u64 * 40);
        let shade = (number * 128 % 251) as u8;
        assert!(seen.renditions[0].data().iter().all(|&b| b == shade), "frame {number}");
    }
}

#[test]
fn enough_ends_the_decoder_early_and_the_report_still_comes() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let (report, notes) = run(&sandbox, "many", 2);
    let report = report.unwrap();
    assert!(report.seen >= 2 && report.seen < 20, "{report:?}");
    assert_eq!(report.seen, notes.frames.len() as u64);
}

#[test]
fn near_duplicates_are_counted_and_the_first_frame_always_comes() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let (report, notes) = run(&sandbox, "same", usize::MAX);
    let report = report.unwrap();
    assert_eq!((report.seen, report.skipped), (1, 4));
    assert_eq!(notes.frames[0].pts_ms, 0);
}

#[test]
fn the_detectors_time_is_not_the_workers() {
    struct Slow(u64);
    impl Observer for Slow {
        fn facts(&mut self, _: &Facts) -> Flow {
            Flow::More
        }
        fn frame(&mut self, _: Seen) -> Flow {
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            self.0 += 1;
            if self.0 == 40 { Flow::Enough } else { Flow::More }
        }
    }
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let item = Item::from_reader(&b"many"[..], 100).unwrap();
    let report = sandbox.decode(&item, &request(&item, Format::Gif), &mut Slow(0)).unwrap();
    assert!(report.seen >= 40);
}

#[test]
fn nothing_leaks_over_many_items() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    run(&sandbox, "good", 1).0.unwrap();
    let before = descriptors();
    for number in 0..500 {
        let deed = if number % 5 == 0 { "abort" } else { "good" };
        let (outcome, _) = run(&sandbox, deed, usize::MAX);
        assert_eq!(outcome.is_ok(), deed == "good", "{number}: {outcome:?}");
    }
    assert_eq!(descriptors(), before);
    let [zygote] = children(std::process::id())[..] else { panic!("more than one zygote") };
    let workers = children(zygote).len();
    assert!(workers <= 4, "{workers} workers, of which two wait and the last may be dying");
    drop(sandbox);
    assert_eq!(children(std::process::id()), [0u32; 0]);
    assert_eq!(children(zygote), [0u32; 0]);
}

#[test]
fn many_threads_share_a_sandbox() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for turn in 0..10 {
                    let deed = if (number + turn) % 3 == 0 { "segv" } else { "good" };
                    assert_eq!(run(sandbox, deed, usize::MAX).0.is_ok(), deed == "good");
                }
            });
        }
    });
}

#[test]
fn a_dead_zygote_is_replaced() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    run(&sandbox, "good", 1).0.unwrap();
    for _ in 0..3 {
        let [zygote] = children(std::process::id())[..] else { panic!("more than one zygote") };
        let pid = rustix::process::Pid::from_raw(zygote as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        ended(zygote);
        // A worker that was already handed over may die with it: that item is lost, the next is not.
        let _ = run(&sandbox, "good", 1);
        run(&sandbox, "good", 1).0.unwrap();
    }
}

#[test]
fn a_zygote_that_cannot_start_says_why() {
    for (fault, words) in [
        ("preload-fails", "no such library"),
        ("preload-threads", "2 threads"),
        ("preload-dies", "dies"),
    ] {
        let config = SandboxConfig { ocr_languages: vec![fault.to_owned()], ..quick(hostile()) };
        let sandbox = Sandbox::new(config).unwrap();
        let (outcome, _) = run(&sandbox, "good", 1);
        let error = outcome.unwrap_err();
        assert!(matches!(&error, WorkError::Unavailable(why) if why.contains(words)), "{error}");
    }
}

#[test]
fn the_level_is_that_of_a_real_worker_and_may_be_required() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let level = sandbox.level();
    assert!(level >= Level::Floor);
    let config = SandboxConfig { require: level, ..quick(hostile()) };
    run(&Sandbox::new(config).unwrap(), "good", 1).0.unwrap();
    if level < Level::Namespaces {
        let config = SandboxConfig { require: Level::Namespaces, ..quick(hostile()) };
        let error = run(&Sandbox::new(config).unwrap(), "good", 1).0.unwrap_err();
        assert!(matches!(error, WorkError::Unavailable(_)), "{error}");
    }
}

#[test]
fn renditions_without_bounds_are_refused() {
    let sandbox = Sandbox::new(quick(hostile())).unwrap();
    let item = Item::from_reader(&b"good"[..], 100).unwrap();
    let mut request = request(&item, Format::Gif);
    request.renditions = vec![square(u32::MAX)];
    let mut notes = Notes { facts: None, frames: Vec::new(), enough: 1 };
    let error = sandbox.decode(&item, &request, &mut notes).unwrap_err();
    assert!(matches!(error, WorkError::Unavailable(_)), "{error}");
}
