//! The system calls of a worker: an allow-list, and a few calls that fail instead of killing.
//!
//! Default: the process is killed (SIGSYS). Libraries that look for a file late, ask whether a stream is a terminal or
//! want memory that is both writable and executable are told no, which they take well. The kernel applies the strictest
//! answer of all filters.
//!
//! The filters that say no are the same for all workers and forbid nothing that a zygote does: it sets them for itself, and its
//! workers inherit them. It also builds the allow-list, once; a worker sets that, and one that knows its process id.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::lockdown::LockdownError;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Always allowed: memory, threads, time, and reading and writing what is open already.
const ALLOWED: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[c_long] = &[
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[c_long] = &[];

/// Told `EACCES`: files, and rights over others.
const REFUSED: &[c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    // GLib asks whether its log goes to the journal.
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getdents64,
    libc::SYS_mbind,
    libc::SYS_memfd_create,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_set_mempolicy,
    libc::SYS_setpriority,
    libc::SYS_statfs,
];
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[c_long] =
    &[libc::SYS_access, libc::SYS_lstat, libc::SYS_open, libc::SYS_readlink, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: &[c_long] = &[];

/// Told `ENOSYS`: glibc then falls back to `clone`, whose flags can be looked at; `isatty` says no.
const ABSENT: &[c_long] = &[libc::SYS_clone3, libc::SYS_ioctl];

/// What is left to set in each worker.
pub(super) struct AllowList(BpfProgram);

impl AllowList {
    /// In the zygote: sets the filters that say no, for itself and all its workers, and builds the allow-list.
    pub(super) fn prepare() -> Result<Self, LockdownError> {
        let refuse = SeccompAction::Errno(libc::EACCES as u32);
        let absent = SeccompAction::Errno(libc::ENOSYS as u32);
        set(&build(plain(&[ABSENT]), SeccompAction::Allow, absent)?)?;
        set(&build(refused()?, SeccompAction::Allow, refuse)?)?;
        Ok(Self(build(allowed()?, SeccompAction::KillProcess, SeccompAction::Allow)?))
    }

    /// In a worker: sets the rest; it holds for all threads to come.
    pub(super) fn install(&self) -> Result<(), LockdownError> {
        // First, for the allow-list lets no further filter be set.
        set(&build(signals_to_others()?, SeccompAction::Allow, SeccompAction::KillProcess)?)?;
        set(&self.0)
    }
}

/// What a process of decoders in hardware is refused: programs, networks, other processes, mounts and namespaces.
const FOREIGN: &[c_long] = &[
    libc::SYS_bpf,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Sets that, for a process whose drivers need too much for an allow-list.
pub(super) fn forbid_for_hardware() -> Result<(), LockdownError> {
    let mut rules = plain(&[FOREIGN]);
    // Drivers speak to their services over Unix sockets.
    let networks = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_VSOCK];
    rules.insert(libc::SYS_socket, any_of(0, &networks)?);
    set(&build(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EACCES as u32))?)
}

fn build(
    rules: Rules,
    other: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, LockdownError> {
    Ok(SeccompFilter::new(rules, other, listed, ARCH)?.try_into()?)
}

fn set(program: &BpfProgram) -> Result<(), LockdownError> {
    Ok(seccompiler::apply_filter(program)?)
}

fn plain(lists: &[&[c_long]]) -> Rules {
    lists.iter().flat_map(|list| list.iter()).map(|&call| (call, Vec::new())).collect()
}

fn allowed() -> Result<Rules, LockdownError> {
    let mut rules = plain(&[ALLOWED, ALLOWED_OLD, REFUSED, REFUSED_OLD, ABSENT]);
    // Threads, never processes, never namespaces.
    let thread = libc::CLONE_THREAD as u64;
    let namespaces = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u64;
    rules.insert(libc::SYS_clone, vec![rule(&[masked(0, thread | namespaces, thread)?])?]);
    // `abort` signals its own thread; `signals_to_others` forbids all else.
    rules.insert(libc::SYS_tgkill, Vec::new());
    rules.insert(libc::SYS_prctl, any_of(0, &[libc::PR_SET_NAME, libc::PR_GET_NAME, PR_SET_VMA])?);
    rules.insert(
        libc::SYS_fcntl,
        any_of(
            1,
            &[
                libc::F_DUPFD_CLOEXEC,
                libc::F_GETFD,
                libc::F_SETFD,
                libc::F_GETFL,
                libc::F_SETFL,
                libc::F_GET_SEALS,
            ],
        )?,
    );
    // A connected pair within the process: each bus of GStreamer's wakes its reader by one.
    rules.insert(libc::SYS_socketpair, vec![rule(&[equal(0, libc::AF_UNIX as u64)?])?]);
    // Limits may be read, not set: the pointer to the new ones is null.
    rules.insert(libc::SYS_prlimit64, vec![rule(&[wide(2, SeccompCmpOp::Eq, 0)?])?]);
    Ok(rules)
}

/// Signals to any process but this worker's own.
fn signals_to_others() -> Result<Rules, LockdownError> {
    let me = u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
    let (op, length) = (SeccompCmpOp::Ne, SeccompCmpArgLen::Dword);
    let other = SeccompCondition::new(0, length, op, me)?;
    Ok(Rules::from([(libc::SYS_tgkill, vec![rule(&[other])?])]))
}

fn refused() -> Result<Rules, LockdownError> {
    let mut rules = plain(&[REFUSED, REFUSED_OLD]);
    let executable = || -> Result<_, LockdownError> {
        let bit = libc::PROT_EXEC as u64;
        Ok(vec![rule(&[masked(2, bit, bit)?])?])
    };
    rules.insert(libc::SYS_mmap, executable()?);
    rules.insert(libc::SYS_mprotect, executable()?);
    // Only an open descriptor may be asked about, never a name.
    let descriptor = libc::AT_EMPTY_PATH as u64;
    rules.insert(libc::SYS_newfstatat, vec![rule(&[masked(3, descriptor, 0)?])?]);
    rules.insert(libc::SYS_statx, vec![rule(&[masked(2, descriptor, 0)?])?]);
    Ok(rules)
}

/// `PR_SET_VMA`, by which allocators name their memory; not in `libc` for every target.
const PR_SET_VMA: i32 = 0x5356_4d41;

fn any_of(argument: u8, values: &[i32]) -> Result<Vec<SeccompRule>, LockdownError> {
    values.iter().map(|&v| rule(&[equal(argument, u64::from(v.unsigned_abs()))?])).collect()
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, LockdownError> {
    let op = SeccompCmpOp::Eq;
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, LockdownError> {
    wide(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn wide(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, LockdownError> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value)?)
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, LockdownError> {
    Ok(SeccompRule::new(conditions.to_vec())?)
}
