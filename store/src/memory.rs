//! What is asked at every call, from memory: what the gate answers, and who a key is.
//!
//! Each is what the database says. The writer takes away what a transaction changed after its COMMIT and before anybody is
//! told of it, so that whoever has been told never gets the old answer. A reader that missed notes `version` first, reads,
//! and keeps what it read only where nothing was taken away meanwhile.
//!
//! Who asks takes read locks only: on two cores a thread is often put aside in the middle, and with an exclusive lock in
//! its hands all others would wait a turn of the scheduler for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    Status,
    journal::{Code, Sha256, TenantId},
};

use crate::{ApiKey, Error, Store};

/// Parts that are locked one by one. 16: more than a box has cores.
const SHARDS: usize = 16;

/// Media in the younger half of a part. With both halves 65,536 media, about 12 MiB: what a site shows on a day, and no
/// more than that whatever is asked.
const YOUNG: usize = 2_048;

/// Places (tenant and surface) remembered of one medium; of more the oldest is forgotten.
const PLACES: usize = 8;

/// Keys remembered; of more all are forgotten, and read again as they are used.
const KEYS: usize = 4_096;

/// What is not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Void {
    /// The answer for these bytes.
    Medium(Sha256),
    /// Every answer of the gate.
    Gate,
    /// Every key.
    Keys,
}

#[derive(Debug)]
struct Answer {
    tenant: TenantId,
    surface: Code,
    status: Option<Status>,
}

/// Two halves: what is new or asked for goes into the young one; when that is full it becomes the old one, and what was
/// not asked for since goes.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Sha256, Vec<Answer>>,
    old: HashMap<Sha256, Vec<Answer>>,
}

impl Shard {
    /// Whether something of the old half was asked for.
    fn renew(&mut self, of: &Sha256) {
        if let Some(found) = self.old.remove(of) {
            self.put(*of, found);
        }
    }

    fn put(&mut self, of: Sha256, answers: Vec<Answer>) {
        if self.young.len() >= YOUNG {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(of, answers);
    }

    fn keep(&mut self, of: Sha256, answer: Answer) {
        let mut answers =
            self.young.remove(&of).or_else(|| self.old.remove(&of)).unwrap_or_default();
        answers.retain(|a| a.tenant != answer.tenant || a.surface != answer.surface);
        if answers.len() >= PLACES {
            answers.remove(0);
        }
        answers.push(answer);
        self.put(of, answers);
    }
}

/// The memory; shared by all handles and the writer.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    version: AtomicU64,
    shards: [RwLock<Shard>; SHARDS],
    keys: RwLock<HashMap<Sha256, Arc<ApiKey>>>,
}

/// What a reader noted before it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Memory {
    /// To be called before the database is read.
    pub fn version(&self) -> Version {
        Version(self.version.load(Ordering::SeqCst))
    }

    /// What is known of a medium at one place.
    fn find(&self, tenant: &TenantId, surface: &Code, of: &Sha256) -> Option<Option<Status>> {
        let shard = read(self.shard(of));
        let young = shard.young.get(of);
        let answers = young.or_else(|| shard.old.get(of))?;
        let here = |answer: &&Answer| answer.tenant == *tenant && answer.surface == *surface;
        let found = answers.iter().find(here).map(|answer| answer.status);
        if young.is_none() {
            drop(shard);
            write(self.shard(of)).renew(of);
        }
        found
    }

    /// Takes away what is not as it was. The writer's, between COMMIT and the replies.
    pub fn forget(&self, voids: &[Void]) {
        if voids.is_empty() {
            return;
        }
        // First the number, then the entries: a reader that keeps something in between is seen by one of the two.
        self.version.fetch_add(1, Ordering::SeqCst);
        if voids.contains(&Void::Gate) {
            for shard in &self.shards {
                *write(shard) = Shard::default();
            }
        }
        for void in voids {
            match void {
                Void::Medium(of) => {
                    let mut shard = write(self.shard(of));
                    shard.young.remove(of);
                    shard.old.remove(of);
                }
                Void::Keys => write(&self.keys).clear(),
                Void::Gate => {}
            }
        }
    }

    fn shard(&self, of: &Sha256) -> &RwLock<Shard> {
        let [first, ..] = of.0;
        &self.shards[usize::from(first) % SHARDS]
    }

    /// Keeps what was read since `version`, unless something was taken away since.
    pub fn keep_answer(
        &self,
        version: Version,
        tenant: &TenantId,
        surface: &Code,
        of: Sha256,
        status: Option<Status>,
    ) {
        let mut shard = write(self.shard(&of));
        if self.version() == version {
            shard.keep(of, Answer { tenant: tenant.clone(), surface: surface.clone(), status });
        }
    }

    /// The same for a key.
    pub fn keep_key(&self, version: Version, secret: Sha256, key: Arc<ApiKey>) {
        let mut keys = write(&self.keys);
        if self.version() == version {
            if keys.len() >= KEYS {
                keys.clear();
            }
            keys.insert(secret, key);
        }
    }
}

// The maps are sound after every statement, whoever panicked with one in hand.

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// What [`Store::media_verdict`] would say, where memory knows it. Never waits for the disk.
    pub fn remembered(
        &self,
        tenant: &TenantId,
        surface: &Code,
        sha256: &Sha256,
    ) -> Option<Option<Status>> {
        self.memory().find(tenant, surface, sha256)
    }

    /// What [`Store::key`] would say, where memory knows it. Never waits for the disk.
    pub fn remembered_key(&self, secret: &str) -> Option<Arc<ApiKey>> {
        let secret = Sha256::of(secret.as_bytes());
        read(&self.memory().keys).get(&secret).cloned()
    }

    /// Fills the memory with what the gate may answer for a tenant, newest first, at most `limit`; how many.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn warm_gate(&self, tenant: &TenantId, limit: u32) -> Result<usize, Error> {
        let version = self.memory().version();
        let verdicts = self.media_verdicts(tenant, limit)?;
        // The newest last, so that they are the ones that stay.
        for (surface, of) in verdicts.iter().rev() {
            self.memory().keep_answer(version, tenant, surface, of.sha256, Some(of.status));
        }
        Ok(verdicts.len())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn medium(n: u32) -> Sha256 {
        Sha256::of(&n.to_le_bytes())
    }

    fn find(memory: &Memory, tenant: &str, surface: &str, of: Sha256) -> Option<Option<Status>> {
        let (tenant, surface) = (tenant.parse().unwrap(), surface.parse().unwrap());
        memory.find(&tenant, &surface, &of)
    }

    fn keep(memory: &Memory, version: Version, tenant: &str, surface: &str, of: Sha256) {
        let (tenant, surface) = (tenant.parse().unwrap(), surface.parse().unwrap());
        memory.keep_answer(version, &tenant, &surface, of, Some(Status::Approved));
    }

    #[test]
    fn an_answer_is_of_its_tenant_and_surface_alone() {
        let memory = Memory::default();
        keep(&memory, memory.version(), "shop", "post", medium(1));
        assert_eq!(find(&memory, "shop", "post", medium(1)), Some(Some(Status::Approved)));
        assert_eq!(find(&memory, "club", "post", medium(1)), None);
        assert_eq!(find(&memory, "shop", "avatar", medium(1)), None);
        assert_eq!(find(&memory, "shop", "post", medium(2)), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let memory = Memory::default();
        for void in [Void::Medium(medium(1)), Void::Gate] {
            let before = memory.version();
            keep(&memory, before, "shop", "post", medium(1));
            memory.forget(&[void]);
            assert_eq!(find(&memory, "shop", "post", medium(1)), None, "{void:?}");
            // A reader that was slow brings what it read before the change.
            keep(&memory, before, "shop", "post", medium(1));
            assert_eq!(find(&memory, "shop", "post", medium(1)), None, "{void:?}");
        }
        let before = memory.version();
        memory.forget(&[]);
        assert_eq!(memory.version(), before, "a group that changed nothing voids nothing");
    }

    #[test]
    fn a_change_of_one_medium_leaves_the_others() {
        let memory = Memory::default();
        for n in 0..100 {
            keep(&memory, memory.version(), "shop", "post", medium(n));
        }
        memory.forget(&[Void::Medium(medium(7)), Void::Keys]);
        let left = (0..100).filter(|n| find(&memory, "shop", "post", medium(*n)).is_some());
        assert_eq!(left.count(), 99);
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_keeps_what_is_asked_for() {
        let memory = Memory::default();
        for n in 0..200_000u32 {
            keep(&memory, memory.version(), "shop", "post", medium(n));
            assert!(find(&memory, "shop", "post", medium(0)).is_some(), "asked for, and gone");
        }
        let held: usize = memory.shards.iter().map(read).map(|s| s.young.len() + s.old.len()).sum();
        assert!(held <= 2 * YOUNG * SHARDS, "{held}");
        for n in 0..100 {
            keep(&memory, memory.version(), "shop", &format!("s{n}"), medium(5));
        }
        assert_eq!(read(memory.shard(&medium(5))).young[&medium(5)].len(), PLACES);
    }
}
