//! The queue and the decisions against a model that fits on a page.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Time, approve, code, config, reject, submission, tell, tenant};
use domain::{
    Status,
    journal::{Actor, Sha256, SubmissionId},
    standing::Ladder,
};
use proptest::prelude::*;
use store::{Acceptance, EffectKind, Error, Fate, NewSubmission, State, Store, Verdict, Work};

/// A tenant without penalties: what the author's standing does to decisions is tested in people.rs.
fn lenient(verdict: Verdict) -> Verdict {
    Verdict { ladder: no_steps(), ..verdict }
}

fn no_steps() -> Ladder {
    Ladder { steps: Vec::new(), ..Ladder::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Accept { key: u8, request: u8, priority: u8 },
    Lease(u32),
    Commit { which: usize, reject: bool },
    Fail(usize),
    Release(usize),
    Retry(usize),
    Decide { which: usize, supersedes: u32, reject: bool },
    Rejudge(usize),
    Pass(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12u8, 0..2u8, 0..3u8).prop_map(|(key, request, priority)| Step::Accept { key, request, priority }),
        4 => (1..3u32).prop_map(Step::Lease),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, reject)| Step::Commit { which, reject }),
        3 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Retry),
        2 => (any::<usize>(), 0..3u32, any::<bool>())
            .prop_map(|(which, supersedes, reject)| Step::Decide { which, supersedes, reject }),
        1 => any::<usize>().prop_map(Step::Rejudge),
        2 => (1..40u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Clone, Debug, PartialEq)]
enum Job {
    Queued { not_before: i64 },
    Leased { attempt: u32 },
    Dead,
}

#[derive(Clone, Debug)]
struct Item {
    arrival: i64,
    priority: i64,
    request: u8,
    job: Option<Job>,
    attempts: u32,
    failures: u32,
    /// Statuses of the decisions, first to last.
    decisions: Vec<Status>,
}

#[derive(Default)]
struct Model {
    items: BTreeMap<SubmissionId, Item>,
    keys: BTreeMap<u8, SubmissionId>,
    /// Jobs so far: their numbers are never used again.
    arrivals: i64,
    /// Every lease of this process with the number of its job, done or not.
    leases: Vec<(Work, i64)>,
}

impl Model {
    fn arrive(&mut self) -> i64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn pick<T>(list: &[T], which: usize) -> Option<&T> {
        if list.is_empty() { None } else { list.get(which % list.len()) }
    }

    fn ids(&self) -> Vec<SubmissionId> {
        self.items.keys().copied().collect()
    }

    /// The item whose job this lease still holds.
    fn held(&mut self, (work, arrival): &(Work, i64)) -> Option<&mut Item> {
        let attempt = work.lease.attempt;
        let item = self.items.get_mut(&work.submission.id)?;
        let same = item.arrival == *arrival && item.job == Some(Job::Leased { attempt });
        same.then_some(item)
    }
}

struct Run {
    dir: tempfile::TempDir,
    time: Time,
    store: Option<Store>,
    model: Model,
    /// Leases of processes that are gone: none of them may do anything.
    stale: Vec<Work>,
}

impl Run {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Accept { key, request, priority } => self.accept(key, request, priority),
            Step::Lease(most) => self.lease(most),
            Step::Commit { which, reject: no } => {
                let Some(held) = Model::pick(&self.model.leases, which).cloned() else { return };
                let work = &held.0;
                let verdict = lenient(if no { reject(work) } else { approve(work) });
                let status = verdict.decision.status;
                let result = self.store().commit(work.lease.clone(), verdict, tell()).wait();
                match self.model.held(&held) {
                    Some(item) => {
                        assert_eq!(result.unwrap().number as usize, item.decisions.len());
                        item.decisions.push(status);
                        item.job = None;
                    }
                    None => assert!(matches!(result, Err(Error::LeaseLost))),
                }
            }
            Step::Fail(which) => self.fail(which),
            Step::Release(which) => {
                let Some(held) = Model::pick(&self.model.leases, which).cloned() else { return };
                let work = &held.0;
                let result = self.store().release(work.lease.clone()).wait();
                match self.model.held(&held) {
                    Some(item) => item.job = Some(Job::Queued { not_before: 0 }),
                    None => assert!(matches!(result, Err(Error::LeaseLost))),
                }
            }
            Step::Retry(which) => {
                let Some(id) = Model::pick(&self.model.ids(), which).copied() else { return };
                let result = self.store().retry(tenant(), id, Actor::Console).wait();
                let item = self.model.items.get_mut(&id).unwrap();
                if item.job == Some(Job::Dead) {
                    result.unwrap();
                    item.job = Some(Job::Queued { not_before: 0 });
                    item.failures = 0;
                } else {
                    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
                }
            }
            Step::Decide { which, supersedes, reject } => self.decide(which, supersedes, reject),
            Step::Rejudge(which) => {
                let Some(id) = Model::pick(&self.model.ids(), which).copied() else { return };
                self.store().rejudge(tenant(), id).wait().unwrap();
                let arrival = self.model.arrive();
                let item = self.model.items.get_mut(&id).unwrap();
                if item.job.is_none() {
                    item.job = Some(Job::Queued { not_before: 0 });
                    (item.arrival, item.attempts, item.failures) = (arrival, 0, 0);
                }
            }
            Step::Pass(seconds) => self.time.pass(Duration::from_secs(seconds)),
            Step::Restart => {
                self.store = None;
                self.store = Some(Store::open(self.dir.path(), config(&self.time)).unwrap().0);
                for item in self.model.items.values_mut() {
                    if matches!(item.job, Some(Job::Leased { .. })) {
                        item.job = Some(Job::Queued { not_before: 0 });
                    }
                }
                self.stale.extend(self.model.leases.drain(..).map(|(work, _)| work));
            }
        }
    }

    fn accept(&mut self, key: u8, request: u8, priority: u8) {
        let new = NewSubmission {
            idempotency_key: Some(key.to_string()),
            request: Sha256::of(&[request]),
            priority,
            ladder: no_steps(),
            ..submission(&format!("{key} {request}"))
        };
        let result = self.store().accept(new.clone()).wait();
        match self.model.keys.get(&key) {
            Some(id) if self.model.items[id].request == request => {
                assert_eq!(result.unwrap(), Acceptance::Same(*id));
            }
            Some(_) => assert!(matches!(result, Err(Error::Conflict(_)))),
            None => {
                assert_eq!(result.unwrap(), Acceptance::New(new.id));
                let arrival = self.model.arrive();
                let item = Item {
                    arrival,
                    priority: priority.into(),
                    request,
                    job: Some(Job::Queued { not_before: 0 }),
                    attempts: 0,
                    failures: 0,
                    decisions: vec![],
                };
                self.model.keys.insert(key, new.id);
                self.model.items.insert(new.id, item);
            }
        }
    }

    fn lease(&mut self, most: u32) {
        let now = self.time.now().0;
        let due = |item: &&mut Item| match item.job {
            Some(Job::Queued { not_before }) => not_before <= now,
            _ => false,
        };
        let got = self.store().lease(most).wait().unwrap();
        let mut wanted: Vec<(&SubmissionId, &mut Item)> =
            self.model.items.iter_mut().filter(|(_, item)| due(item)).collect();
        wanted.sort_by_key(|(_, item)| item.arrival - 1000 * item.priority);
        wanted.truncate(most as usize);
        let order = |works: &[Work]| works.iter().map(|w| w.submission.id).collect::<Vec<_>>();
        assert_eq!(order(&got), wanted.iter().map(|(id, _)| **id).collect::<Vec<_>>());
        let mut arrivals = vec![];
        for ((_, item), work) in wanted.into_iter().zip(&got) {
            item.attempts += 1;
            assert_eq!(work.lease.attempt, item.attempts);
            assert_eq!(work.lease.last, item.failures == 2);
            item.job = Some(Job::Leased { attempt: item.attempts });
            arrivals.push(item.arrival);
        }
        self.model.leases.extend(got.into_iter().zip(arrivals));
    }

    fn fail(&mut self, which: usize) {
        let now = self.time.now().0;
        let Some(held) = Model::pick(&self.model.leases, which).cloned() else { return };
        let work = &held.0;
        let result = self.store().fail(work.lease.clone(), code("worker_crashed")).wait();
        let Some(item) = self.model.held(&held) else {
            assert!(matches!(result, Err(Error::LeaseLost)));
            return;
        };
        item.failures += 1;
        if item.failures > 2 {
            assert_eq!(result.unwrap(), Fate::Dead);
            item.job = Some(Job::Dead);
        } else {
            let not_before = now + 10_000 * (1 << (item.failures - 1));
            assert_eq!(result.unwrap(), Fate::Retry(domain::journal::Millis(not_before)));
            item.job = Some(Job::Queued { not_before });
        }
    }

    fn decide(&mut self, which: usize, supersedes: u32, no: bool) {
        let Some(id) = Model::pick(&self.model.ids(), which).copied() else { return };
        let Some(work) = self
            .model
            .leases
            .iter()
            .map(|(work, _)| work)
            .chain(&self.stale)
            .find(|w| w.submission.id == id)
        else {
            return;
        };
        let verdict = lenient(if no { reject(work) } else { approve(work) });
        let status = verdict.decision.status;
        let verdict = Verdict { basis: None, ..verdict };
        let result =
            self.store().decide(tenant(), id, supersedes, verdict, Actor::Console, tell()).wait();
        let item = self.model.items.get_mut(&id).unwrap();
        if supersedes as usize + 1 == item.decisions.len() {
            assert_eq!(result.unwrap().number, supersedes + 1);
            item.decisions.push(status);
        } else {
            assert!(matches!(result, Err(Error::Conflict(_))));
        }
    }

    fn compare(&mut self) {
        let mut messages = 0;
        for (id, item) in &self.model.items {
            let found = self.store().submission(&tenant(), *id).unwrap();
            let state = match (item.decisions.last(), &item.job) {
                (Some(status), _) => State::from(*status),
                (None, Some(Job::Dead)) => State::Failed,
                (None, _) => State::Pending,
            };
            assert_eq!(found.state, state);
            let decisions = self.store().decisions(&tenant(), *id).unwrap();
            let statuses: Vec<_> = decisions.iter().map(|row| row.decision.status).collect();
            assert_eq!(statuses, item.decisions);
            let machine = decisions.iter().filter(|row| row.supersedes.is_none()).count();
            assert_eq!(machine, usize::from(!item.decisions.is_empty()));
            messages += item.decisions.len();
        }
        for work in &self.stale {
            let result =
                self.store().commit(work.lease.clone(), lenient(approve(work)), tell()).wait();
            assert!(matches!(result, Err(Error::LeaseLost)));
        }
        let effects = self.store().lease_effects(EffectKind::Notify, 10_000).wait().unwrap();
        assert_eq!(effects.len(), messages, "one message for each decision");
        self.store = None;
        let verified = store::verify(self.dir.path()).unwrap();
        assert!(verified.problems.is_empty(), "{:?}", verified.problems);
        assert_eq!(verified.decisions as usize, messages);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in steps()) {
        let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
        let store = Some(Store::open(dir.path(), config(&time)).unwrap().0);
        let mut run = Run { dir, time, store, model: Model::default(), stale: vec![] };
        for step in steps {
            run.step(step);
        }
        run.compare();
    }
}
