//! A stand-in for `weir-sandbox` whose "decoder" does what the item tells it to: the worst that a subverted codec could do.
//! Run by `tests/sandbox.rs`; of no other use.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::process::ExitCode;
use std::time::Duration;

use domain::{Format, MediaKind};
use models::RgbImage;
use pipeline::decode::{DecodeError, Facts, Flow, Frame, Limits, Need, Sink, Tally};
use pipeline::measure::Measures;
use pipeline::sandbox::protocol::Report;
use pipeline::sandbox::worker::{self, Codecs, Input};
use pipeline::sandbox::{Level, Settings};
use serde::Serialize;

/// `sandbox::wire::Said`, written down a second time as the documentation there has it.
#[derive(Serialize)]
#[expect(dead_code, reason = "the order of all variants is the format")]
enum Said {
    Ready(Level),
    Facts(Facts),
    Frame(Head),
    Report(Report),
    Failed(DecodeError),
    Exited { signal: Option<i32>, status: Option<i32> },
}

#[derive(Serialize)]
struct Head {
    pts_ms: u64,
    measures: Measures,
    sizes: Vec<(u32, u32)>,
}

struct Hostile;

fn main() -> ExitCode {
    worker::main(&mut Hostile)
}

impl Codecs for Hostile {
    fn preload(&mut self, settings: &Settings) -> Result<(), String> {
        match settings.ocr_languages.first().map(String::as_str) {
            Some("preload-fails") => Err("no such library".to_owned()),
            Some("preload-dies") => std::process::exit(1),
            Some("preload-threads") => {
                std::thread::spawn(std::thread::park);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn decode(
        &self,
        input: &Input,
        _: Format,
        _: &Need,
        _: &Limits,
        sink: &mut dyn Sink,
    ) -> Result<Tally, DecodeError> {
        let deed = std::str::from_utf8(input.bytes()).unwrap_or_default();
        match deed {
            "good" => good(sink, 1),
            "many" => good(sink, 400),
            "same" => same(sink),
            "thread" => {
                let made = std::thread::spawn(|| 1).join().unwrap_or(0);
                good(sink, made)
            }
            _ if lies(deed) => Ok(Tally::default()),
            _ => crimes(deed, input),
        }
    }
}

fn facts() -> Facts {
    Facts {
        kind: MediaKind::Animation,
        format: Format::Gif,
        width: 64,
        height: 48,
        duration_ms: None,
        frames: None,
    }
}

fn picture(shade: u8) -> RgbImage {
    RgbImage::new(64, 48, vec![shade; 64 * 48 * 3]).unwrap_or_else(|| std::process::abort())
}

fn good(sink: &mut dyn Sink, frames: u64) -> Result<Tally, DecodeError> {
    sink.facts(facts());
    let mut tally = Tally::default();
    for number in 0..frames {
        tally.frames += 1;
        let image = picture((number * 128 % 251) as u8);
        if sink.frame(Frame { pts_ms: number * 40, image }) == Flow::Enough {
            break;
        }
    }
    Ok(tally)
}

fn same(sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    sink.facts(facts());
    for number in 0..5 {
        sink.frame(Frame { pts_ms: number * 40, image: picture(7) });
    }
    Ok(Tally { frames: 5, ..Tally::default() })
}

/// Deeds against the kernel. What it forbids softly comes back as text, what it forbids hard kills.
fn crimes(deed: &str, input: &Input) -> Result<Tally, DecodeError> {
    match deed {
        "segv" => unsafe { std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1) },
        "abort" => std::process::abort(),
        "panic" => panic!("as told"),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "memory" => drop(std::hint::black_box(vec![1u8; 4 << 30])),
        "fork" => drop(unsafe { libc::fork() }),
        "exec" => drop(unsafe {
            libc::execv(c"/bin/true".as_ptr(), [c"true".as_ptr(), std::ptr::null()].as_ptr())
        }),
        "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "kill" => drop(unsafe { libc::kill(libc::getppid(), libc::SIGKILL) }),
        "signal-parent" => {
            let parent = unsafe { libc::getppid() };
            let _ = unsafe { libc::syscall(libc::SYS_tgkill, parent, parent, libc::SIGKILL) };
        }
        "ptrace" => drop(unsafe { libc::ptrace(libc::PTRACE_ATTACH, libc::getppid(), 0, 0) }),
        "unlink" => drop(std::fs::remove_file("/tmp/weir-hostile")),
        "truncate" => drop(input.file().set_len(1)),
        "namespace" => drop(unsafe { libc::unshare(libc::CLONE_NEWUSER) }),
        "limits" => {
            let most = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
            let _ = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const most) };
        }
        "open" => return told(File::open("/etc/passwd").map(drop)),
        "proc" => return told(File::open("/proc/self/maps").map(drop)),
        "create" => return told(File::create("/tmp/weir-hostile").map(drop)),
        "stat" => return told(std::fs::metadata("/etc/passwd").map(drop)),
        "list" => return told(std::fs::read_dir("/").map(drop)),
        "write-item" => return told(input.file().write_all(b"x")),
        "grow-pixels" => return told(grow_pixels()),
        "executable" => return told(executable()),
        "descriptors" => return Err(DecodeError::Damaged(descriptors())),
        other => return Err(DecodeError::Unsupported(format!("{other}\n\u{1b}[31m deed"))),
    }
    Err(DecodeError::Damaged("got away with it".to_owned()))
}

fn told(outcome: io::Result<()>) -> Result<Tally, DecodeError> {
    Err(DecodeError::Damaged(match outcome {
        Ok(()) => "got away with it".to_owned(),
        Err(error) => format!("refused: {:?}", error.raw_os_error()),
    }))
}

fn executable() -> io::Result<()> {
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn grow_pixels() -> io::Result<()> {
    let wrote = unsafe { libc::pwrite(pixels(), [1u8].as_ptr().cast(), 1, 100 << 20) };
    if wrote == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What is open, by kind: `n` the null device, `s` a socket, `i` the item, `p` the pixels, `?` anything else.
fn descriptors() -> String {
    let mut kinds: Vec<char> = (0..64).filter_map(kind).collect();
    kinds.sort_unstable();
    kinds.into_iter().collect()
}

fn kind(fd: RawFd) -> Option<char> {
    let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
    if unsafe { libc::fstat(fd, &raw mut stat) } != 0 {
        return None;
    }
    Some(match (stat.st_mode & libc::S_IFMT, unsafe { libc::fcntl(fd, libc::F_GET_SEALS) }) {
        (libc::S_IFCHR, _) if stat.st_rdev == libc::makedev(1, 3) => 'n',
        (libc::S_IFSOCK, _) => 's',
        (_, 15) => 'i',
        (_, 7) => 'p',
        _ => '?',
    })
}

fn socket() -> RawFd {
    (0..64).find(|&fd| kind(fd) == Some('s')).unwrap_or(-1)
}

fn pixels() -> RawFd {
    (0..64).find(|&fd| kind(fd) == Some('p')).unwrap_or(-1)
}

fn say(said: &Said) {
    raw(&postcard::to_stdvec(said).unwrap_or_default());
}

fn raw(bytes: &[u8]) {
    unsafe { libc::send(socket(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
}

fn frame(sizes: &[(u32, u32)], pts_ms: u64, measures: Measures) {
    say(&Said::Frame(Head { pts_ms, measures, sizes: sizes.to_vec() }));
}

/// Deeds against the protocol; the tests ask for one rendition of 32 × 32 at most. `false` for a deed that is no lie.
fn lies(deed: &str) -> bool {
    let fine = [(32, 24)];
    if matches!(deed, "no-facts" | "early-report" | "garbage" | "empty" | "forged-end") {
        match deed {
            "no-facts" => frame(&fine, 0, Measures::default()),
            "early-report" => say(&Said::Report(Report::default())),
            "garbage" => raw(&[0xff; 300]),
            "empty" => raw(&[]),
            _ => say(&Said::Exited { signal: None, status: Some(0) }),
        }
        return true;
    }
    let known = [
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
        "mutate",
    ];
    if !known.contains(&deed) {
        return false;
    }
    say(&Said::Facts(facts()));
    match deed {
        "wide" => frame(&[(33, 24)], 0, Measures::default()),
        "zero" => frame(&[(0, 24)], 0, Measures::default()),
        "overflow" => frame(&[(u32::MAX, u32::MAX)], 0, Measures::default()),
        "pictures" => frame(&[(32, 24), (32, 24)], 0, Measures::default()),
        "order" => {
            frame(&fine, 10, Measures::default());
            frame(&fine, 9, Measures::default());
        }
        "nan" => {
            frame(&fine, 0, Measures { blur_variance: Some(f32::NAN), ..Measures::default() });
        }
        "quality" => {
            frame(&fine, 0, Measures { text_likelihood: Some(1.5), ..Measures::default() });
        }
        "trailing" => {
            let mut bytes =
                postcard::to_stdvec(&Said::Report(Report::default())).unwrap_or_default();
            bytes.push(0);
            raw(&bytes);
        }
        "oversize" => raw(&vec![1; 100 << 10]),
        "count" => say(&Said::Report(Report { seen: 3, ..Report::default() })),
        "flood" => loop {
            frame(&fine, 0, Measures::default());
        },
        "chatter" => loop {
            say(&Said::Facts(facts()));
        },
        "huge-facts" => say(&Said::Facts(Facts { width: u32::MAX, ..facts() })),
        "bad-text" => {
            let qr = vec!["AAAA".to_owned()];
            let head = Head {
                pts_ms: 0,
                measures: Measures { qr, ..Measures::default() },
                sizes: fine.to_vec(),
            };
            let mut bytes = postcard::to_stdvec(&Said::Frame(head)).unwrap_or_default();
            bytes.iter_mut().filter(|b| **b == b'A').for_each(|b| *b = 0xff);
            raw(&bytes);
        }
        "twice-ready" => say(&Said::Ready(Level::Namespaces)),
        _ => mutate(&fine),
    }
    true
}

/// Sends frames while another thread writes over the pixels.
fn mutate(fine: &[(u32, u32)]) -> ! {
    std::thread::spawn(|| {
        let (fd, mut shade) = (pixels(), [0u8; 4096]);
        loop {
            shade = shade.map(|s| s.wrapping_add(1));
            unsafe { libc::pwrite(fd, shade.as_ptr().cast(), 2304, 0) };
        }
    });
    for number in 0..50 {
        frame(fine, number, Measures::default());
    }
    say(&Said::Report(Report { seen: 50, ..Report::default() }));
    // Stays until the host, which has read the report, kills this worker: the pixels change as long as it reads.
    loop {
        std::thread::park();
    }
}
