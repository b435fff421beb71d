//! The hub is killed while people decide: each item is decided once or not at all, with its directive and its audit entry. The oracle is the
//! database's own counts against what people were told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use rig::hub::Hub;
use rig::ops::{Person, Visitor};

const BOX: &str = "00000000-0000-0000-0000-00000000b0c5";
const ITEMS: usize = 60;

fn subject(n: usize) -> String {
    format!("01900000-0000-7000-8000-{n:012x}")
}

/// Decides items until the hub answers no more; those that it said were decided.
fn decides(visitor: &Visitor<'_>, next: &AtomicUsize) -> Vec<usize> {
    let mut told = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= ITEMS {
            return told;
        }
        let path = format!("/ops/review/{BOX}/{}", subject(n));
        let form = [("verb", "approve"), ("reason", "no violation"), ("seen", "0")];
        let sent = visitor
            .try_send(&format!("{path}/claim"), &[])
            .and_then(|_| visitor.try_send(&format!("{path}/decide"), &form));
        match sent {
            Some(page) if page.status == 303 => told.push(n),
            Some(page) => panic!("{page:?}"),
            None => return told,
        }
    }
}

#[test]
fn of_a_decision_all_or_nothing_is_there_after_a_kill() {
    let mut hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    hub.query(&format!(
        "INSERT INTO boxes (box, name, public_key, serial) VALUES ('{BOX}', 'box', decode(repeat('00', 32), 'hex'), 'x');
         INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
             SELECT '{BOX}', ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'flagged', 'campus', 2, 'violence', '{{violence}}', 0, now(), now()
             FROM generate_series(0, {ITEMS} - 1) n"
    ));
    let people: Vec<Person> =
        (0..3).map(|n| Person::new(&hub, &format!("m{n}"), "moderator", &[])).collect();
    let mut told = Vec::new();
    let next = AtomicUsize::new(0);
    for round in 1..=3 {
        let visitors: Vec<Visitor<'_>> = people.iter().map(|person| person.visit(&hub)).collect();
        let stop = round * ITEMS / 4;
        let pid = hub.id();
        told.extend(std::thread::scope(|scope| {
            let all: Vec<_> =
                visitors.iter().map(|visitor| scope.spawn(|| decides(visitor, &next))).collect();
            // In the middle of the work, whatever of it is under way.
            while next.load(Ordering::Relaxed) < stop {
                std::thread::yield_now();
            }
            rig::hub::kill(pid);
            all.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>()
        }));
        drop(visitors);
        hub.kill();
        hub.serve();
    }
    assert!(told.len() > ITEMS / 4, "{} were decided", told.len());
    let count = |what: &str| hub.query(&format!("SELECT count(*) FROM {what}")).remove(0);
    let decided = count("review_decisions");
    assert_eq!(count("(SELECT DISTINCT subject FROM review_decisions) x"), decided, "each once");
    assert_eq!(count("directives WHERE kind = 'rule'"), decided);
    assert_eq!(count("audit WHERE action = 'review.decide'"), decided);
    assert_eq!(count("reviews WHERE NOT open"), decided);
    for n in told {
        let subject = subject(n);
        assert_eq!(
            count(&format!("review_decisions WHERE subject = '{subject}'")),
            "1",
            "item {n} was said to be decided"
        );
    }
    let ann = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    assert!(ann.see("/ops/audit?verify=1").body.contains("id=\"verified\""));
}
