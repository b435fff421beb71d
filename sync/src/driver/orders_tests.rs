#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::journal::{Epoch, Seq};

use super::*;
use crate::journal::Trouble;

struct Nobody;

impl Directives for Nobody {
    fn taken(&self) -> Result<Vec<Place>, Trouble> {
        unreachable!("the test answers")
    }

    fn take(&self, _: &SignedDirective) -> Result<Taken, Trouble> {
        unreachable!("the test answers")
    }
}

fn orders() -> Orders {
    let mut orders = Orders::default();
    orders.set(Arc::new(Nobody));
    orders
}

fn directive(n: u8) -> SignedDirective {
    SignedDirective { bytes: vec![n], signatures: vec![] }
}

fn places(seq: u64) -> Vec<Place> {
    vec![Place { epoch: Epoch(1), to: domain::directive::Address::Fleet, seq: Seq(seq) }]
}

/// What it does now: which directive it takes, or 0 where it looks up.
fn does(orders: &mut Orders, now: Instant) -> Option<u8> {
    orders.next(now).map(|task| match task {
        Task::LookUp(_) => 0,
        Task::Take(_, directive) => directive.bytes[0],
    })
}

fn told(orders: &mut Orders) -> Option<Follow> {
    orders.follow().map(|up| match up {
        Up::Follow(follow) => follow,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_hub_is_asked_anew_at_first_and_told_of_progress_then() {
    let (mut orders, now) = (orders(), Instant::now());
    assert_eq!(does(&mut orders, now), None, "nobody to tell");
    orders.opened(now);
    assert_eq!(does(&mut orders, now), Some(0));
    assert_eq!(does(&mut orders, now), None, "one thing at a time");
    orders.looked_up(Some(places(4)), now);
    assert_eq!(told(&mut orders), Some(Follow { places: places(4), anew: true }));
    orders.came(directive(5));
    orders.came(directive(6));
    assert_eq!(does(&mut orders, now), Some(5));
    orders.taken(Some(Taken::Done), now);
    assert_eq!(does(&mut orders, now), Some(6), "before anything is told");
    orders.taken(Some(Taken::Known), now);
    assert_eq!(does(&mut orders, now), Some(0));
    orders.looked_up(Some(places(6)), now);
    assert_eq!(told(&mut orders), Some(Follow { places: places(6), anew: false }));
    assert_eq!(does(&mut orders, now), None);
    // A broker may have lost one that nobody misses.
    assert_eq!(orders.wake_at(), Some(now + EVERY));
    assert_eq!(does(&mut orders, now + EVERY), Some(0));
    orders.looked_up(Some(places(6)), now + EVERY);
    assert!(told(&mut orders).unwrap().anew);
}

#[test]
fn what_was_missed_is_asked_for() {
    let (mut orders, now) = (orders(), Instant::now());
    orders.opened(now);
    assert_eq!(does(&mut orders, now), Some(0));
    // More than fit come while it is looked up.
    for n in 0..=u8::try_from(MOST).unwrap() {
        orders.came(directive(n + 1));
    }
    orders.looked_up(Some(places(0)), now);
    told(&mut orders);
    for n in 0..u8::try_from(MOST).unwrap() {
        assert_eq!(does(&mut orders, now), Some(n + 1));
        orders.taken(Some(Taken::Done), now);
    }
    assert_eq!(does(&mut orders, now), Some(0));
    orders.looked_up(Some(places(64)), now);
    assert_eq!(told(&mut orders), Some(Follow { places: places(64), anew: true }));

    for (taken, pause) in [(Some(Taken::Gap), GAP), (None, TROUBLE)] {
        orders.came(directive(70));
        orders.came(directive(71));
        assert_eq!(does(&mut orders, now), Some(70));
        orders.taken(taken, now);
        let before = now + pause - Duration::from_millis(1);
        assert_eq!(does(&mut orders, before), None, "what waits comes again: {taken:?}");
        assert_eq!(does(&mut orders, now + pause), Some(0));
        orders.looked_up(Some(places(64)), now);
        assert!(told(&mut orders).unwrap().anew);
        orders.opened(now + EVERY);
    }
}

#[test]
fn nothing_is_told_to_a_hub_that_is_gone_and_what_it_told_is_taken() {
    let (mut orders, now) = (orders(), Instant::now());
    orders.opened(now);
    assert_eq!(does(&mut orders, now), Some(0));
    orders.came(directive(1));
    orders.left();
    orders.looked_up(Some(places(0)), now);
    assert_eq!(told(&mut orders), None);
    assert_eq!(does(&mut orders, now), Some(1));
    orders.taken(Some(Taken::Done), now);
    assert_eq!((does(&mut orders, now), orders.wake_at()), (None, None));
}
