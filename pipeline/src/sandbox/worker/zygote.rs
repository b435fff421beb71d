//! The zygote: loads the codecs, gives up its rights, keeps workers ready, reaps them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{
    PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, waitid,
};

use super::filter::AllowList;
use super::{Codecs, Rights, lockdown, work};
use crate::sandbox::config::{Level, Settings};
use crate::sandbox::sys;
use crate::sandbox::wire::{self, Handover, Said};

/// The body of `weir-sandbox`: serves the host at standard input until that is closed.
pub fn main(codecs: &mut dyn Codecs) -> ExitCode {
    let mut control = match control() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("weir-sandbox: {error}; it is started by weir and is of no use by hand");
            return ExitCode::from(64);
        }
    };
    let status = match serve(&mut control, codecs) {
        Ok(()) => 0,
        Err(why) => {
            let _ = wire::tell(&control, &Handover::Failed(why), &[]);
            1
        }
    };
    // Without the libraries' destructors: they have nothing to save, and some of them complain.
    sys::exit_now(status)
}

/// Takes the socket away from standard input, so that no library reads from it.
pub(in crate::sandbox) fn control() -> io::Result<OwnedFd> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_type(&control)?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(control)
}

fn serve(control: &mut OwnedFd, codecs: &mut dyn Codecs) -> Result<(), String> {
    let settings: Settings = wire::hear(&*control, None).map_err(|e| e.to_string())?;
    // Workers inherit it. Where the system refuses they are merely less polite.
    let _ = rustix::process::nice(i32::from(settings.nice));
    codecs.preload(&settings)?;
    // A fork takes one thread along: locks that another one holds would stay locked for ever.
    let threads = std::fs::read_dir("/proc/self/task").map_err(|e| e.to_string())?.count();
    if threads != 1 {
        return Err(format!("preloading left {threads} threads, and a zygote may have but one"));
    }
    let null = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .map_err(|e| format!("/dev/null: {e}"))?;
    let (level, allowed) = lockdown::zygote().map_err(|e| e.to_string())?;
    let (null, children) = (null.into(), Vec::new());
    let mut nursery = Nursery { control, settings, level, allowed, codecs, null, children };
    for _ in 0..nursery.settings.spare {
        nursery.bear().map_err(|e| format!("fork: {e}"))?;
    }
    nursery.run().map_err(|e| e.to_string())
}

struct Child {
    pidfd: OwnedFd,
    /// The worker's end of its socket, for its obituary.
    socket: OwnedFd,
}

struct Nursery<'a> {
    control: &'a mut OwnedFd,
    settings: Settings,
    level: Level,
    allowed: AllowList,
    codecs: &'a dyn Codecs,
    null: OwnedFd,
    children: Vec<Child>,
}

impl Nursery<'_> {
    /// Forks one worker and hands it over.
    fn bear(&mut self) -> io::Result<()> {
        let (mut host, socket) = wire::pair()?;
        let zygote = getpid();
        let pid = sys::fork(|| {
            if self.forget(&mut host).is_err() {
                return super::GAVE_UP;
            }
            let rights = Rights { level: self.level, allowed: &self.allowed, zygote };
            work(&socket, &self.settings, &rights, self.codecs)
        })?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let told = wire::tell(&*self.control, &Handover::Worker, &[host.as_fd(), pidfd.as_fd()]);
        self.children.push(Child { pidfd, socket });
        told.map_err(io::Error::other)
    }

    /// In the new process: gives up every descriptor of the zygote's. What a library opened while it was loaded
    /// stays, for that was before any untrusted byte.
    fn forget(&mut self, host: &mut OwnedFd) -> rustix::io::Result<()> {
        self.children.clear();
        rustix::io::dup2(&self.null, host)?;
        rustix::io::dup2(&self.null, self.control)?;
        rustix::stdio::dup2_stderr(&self.null)
    }

    fn run(&mut self) -> rustix::io::Result<()> {
        loop {
            let mut fds = vec![PollFd::new(&*self.control, PollFlags::IN)];
            fds.extend(self.children.iter().map(|c| PollFd::new(&c.pidfd, PollFlags::IN)));
            wire::retry(|| poll(&mut fds, None))?;
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let called = ready.next().unwrap_or_default();
            let ended: Vec<bool> = ready.collect();
            let mut ended = ended.iter();
            self.children
                .retain(|child| !ended.next().copied().unwrap_or_default() || !bury(child));
            if called && !self.answer()? {
                break;
            }
        }
        for child in &self.children {
            let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        Ok(())
    }

    /// Forks as often as the host asks; `false` when the host is gone.
    fn answer(&mut self) -> rustix::io::Result<bool> {
        let mut byte = [0; 1];
        loop {
            match recv(&*self.control, &mut byte, RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(false),
                Ok(_) => {
                    if let Err(error) = self.bear() {
                        let why = Handover::Failed(format!("fork: {error}"));
                        let _ = wire::tell(&*self.control, &why, &[]);
                    }
                }
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reaps a worker and tells its host how it ended; `true` when it is gone.
fn bury(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let ended = match wire::retry(|| waitid(WaitId::PidFd(child.pidfd.as_fd()), options)) {
        Ok(Some(ended)) => ended,
        Ok(None) => return false,
        Err(_) => return true,
    };
    let last = Said::Exited { signal: ended.terminating_signal(), status: ended.exit_status() };
    wire::tell_if_room(&child.socket, &last);
    true
}
