//! Giving up rights: what a zygote gives up once for all its workers, and what each worker gives up itself.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, getppid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::filter::AllowList;
use crate::sandbox::config::{Level, Settings};
use crate::sandbox::sys;
use crate::sandbox::wire::MAX_RING;

/// Descriptors of a zygote: two for each worker and what its libraries hold.
const ZYGOTE_FILES: u64 = 256;
/// Descriptors of a worker: its own four, and the event descriptors of GStreamer's threads.
const WORKER_FILES: u64 = 64;

/// Why a worker is not safe to use.
#[derive(Debug, thiserror::Error)]
pub(in crate::sandbox) enum LockdownError {
    /// A call of the kernel's failed.
    #[error("cannot lock down: {0}")]
    Kernel(#[from] Errno),
    /// The filter cannot be built or set.
    #[error("cannot set the seccomp filter: {0}")]
    Seccomp(#[from] seccompiler::Error),
    /// The same, earlier.
    #[error("cannot build the seccomp filter: {0}")]
    Build(#[from] seccompiler::BackendError),
    /// The zygote died in between.
    #[error("the zygote is gone")]
    Orphaned,
}

/// Called once, when the codecs are loaded. Best effort but for the privileges and filters; gives the level that workers will
/// have, and what they have yet to set.
pub(super) fn zygote() -> Result<(Level, AllowList), LockdownError> {
    let namespaces = sys::unshare_namespaces().is_ok();
    // Root's capabilities, or those over the new namespace.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, ZYGOTE_FILES)?;
    let level = match (landlock(), namespaces) {
        (true, true) => Level::Namespaces,
        (true, false) => Level::Landlock,
        (false, _) => Level::Floor,
    };
    Ok((level, AllowList::prepare()?))
}

/// Called in the process of the decoders in hardware, when their plugins are loaded: it starts no program, reaches no network
/// and looks into no other process. Files and devices stay open to it, for drivers open theirs late.
pub(in crate::sandbox) fn give_up_for_hardware() -> Result<(), LockdownError> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Core, 0)?;
    super::filter::forbid_for_hardware()
}

/// Denies the whole file tree, TCP, and signals to processes outside; `false` where the kernel cannot deny files.
fn landlock() -> bool {
    let best = CompatLevel::BestEffort;
    let status = Ruleset::default()
        .set_compatibility(best)
        .handle_access(AccessFs::from_all(ABI::V6))
        .and_then(|r| r.handle_access(AccessNet::from_all(ABI::V6)))
        .and_then(|r| r.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(|r| r.restrict_self());
    status.is_ok_and(|s| s.ruleset != RulesetStatus::NotEnforced)
}

/// Called in each worker, before it is given anything.
pub(super) fn worker(
    settings: &Settings,
    zygote: Pid,
    allowed: &AllowList,
) -> Result<(), LockdownError> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(zygote) {
        return Err(LockdownError::Orphaned);
    }
    limit(Resource::As, settings.memory_bytes)?;
    limit(Resource::Fsize, MAX_RING)?;
    limit(Resource::Nofile, WORKER_FILES)?;
    // The soft limit ends the worker by a signal that tells the cause; the hard one, if that is caught.
    setrlimit(
        Resource::Cpu,
        Rlimit { current: Some(settings.cpu_s), maximum: Some(settings.cpu_s + 1) },
    )?;
    allowed.install()
}

fn limit(resource: Resource, most: u64) -> Result<(), Errno> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
}
