//! Directives from the command line to boxes and back: a real hub, Postgres, QUIC; boxes keep in memory what a real one keeps on its disk.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use common::obeys::Obeys;
use common::service::{Hub, init, told, weir_hub};
use domain::journal::{Body, Distrusted, Lane, Subject};
use rig::postgres::Postgres;
use serde_json::Value;

fn order(settings: &Path, to: &str, order: &str) -> (String, u64) {
    let file = settings.to_str().unwrap();
    let place = told(&weir_hub(&["directive", "order", "--config", file, "--to", to, order]));
    let mut words = place.split(' ');
    (words.next().unwrap().to_owned(), words.next_back().unwrap().parse().unwrap())
}

fn flag(name: &str) -> String {
    format!(r#"{{"kind":"flag","name":"{name}","on":true}}"#)
}

const ENTRY: &str = r#"{"kind":"list","of":"sha256","category":"sexual","hash":"0707070707070707070707070707070707070707070707070707070707070707"}"#;

fn answer(arguments: &[&str], postgres: &Postgres) -> Value {
    let url = postgres.url();
    let all: Vec<&str> = [arguments, &["--json", "--database", &url]].concat();
    serde_json::from_str(&told(&weir_hub(&all))).unwrap()
}

fn add_tenant(postgres: &Postgres, tenant: &str) {
    answer(&["tenant", "add", tenant], postgres);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_box_hears_what_is_for_it_and_what_came_of_it_is_shown() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    ["one", "two"].into_iter().for_each(|tenant| add_tenant(&postgres, tenant));
    let _hub = Hub::start(&settings);
    // Ordered before there is any box: those that come hear it all the same.
    let (epoch, _) = order(&settings, "fleet", &flag("a"));
    let of = [&["one", "two"][..], &["one"], &[]];
    let boxes: Vec<_> =
        (1..).zip(of).map(|(number, of)| Obeys::new(&settings, number, of)).collect();
    let at: Vec<String> = boxes.iter().map(|one| format!("box/{}", one.edge.of)).collect();
    let mut running: Vec<_> =
        boxes[..2].iter().map(|one| one.edge.obey(Arc::clone(one) as _)).collect();
    order(&settings, "tenant/two", ENTRY);
    order(&settings, "tenant/one", ENTRY);
    order(&settings, &at[0], r#"{"kind":"drain","on":true}"#);
    order(&settings, "fleet", &flag("refuse"));
    boxes[0].has(5).await;
    boxes[1].has(3).await;
    for one in &boxes[..2] {
        one.edge.journal.settled().await;
    }
    let shown = |seq: &str| {
        let shown = answer(&["directive", "show", &epoch, "fleet", seq], &postgres);
        let states = shown.as_array().unwrap().iter().map(|one| {
            (one["box"].as_str().unwrap().to_owned(), one["state"].as_str().unwrap().to_owned())
        });
        states.collect::<BTreeMap<_, _>>()
    };
    let state = |one: usize, seq: &str| shown(seq)[&boxes[one].edge.of.to_string()].clone();
    assert_eq!([state(0, "1"), state(1, "1"), state(2, "1")], ["applied", "applied", "pending"]);
    assert_eq!([state(0, "2"), state(2, "2")], ["refused", "pending"]);
    // The third comes back after all of it.
    running.push(boxes[2].edge.obey(Arc::clone(&boxes[2]) as _));
    boxes[2].has(2).await;
    boxes[2].edge.journal.settled().await;
    assert_eq!(state(2, "1"), "applied");
    let took =
        |one: usize| boxes[one].took().into_iter().map(|t| (t.0, t.1)).collect::<BTreeSet<_>>();
    let expected = |lanes: &[(&str, u64)]| {
        lanes.iter().map(|(to, seq)| ((*to).to_owned(), *seq)).collect::<BTreeSet<_>>()
    };
    let fleet = [("fleet", 1), ("fleet", 2)];
    assert_eq!(
        took(0),
        expected(&[&fleet[..], &[("tenant/one", 1), ("tenant/two", 1), (&at[0], 1)]].concat())
    );
    assert_eq!(took(1), expected(&[&fleet[..], &[("tenant/one", 1)]].concat()));
    assert_eq!(took(2), expected(&fleet));
    let list = answer(&["directive", "list", "--to", "fleet"], &postgres);
    let second = &list[0];
    assert_eq!(
        (&second["seq"], &second["boxes"], &second["refused"]),
        (&2.into(), &3.into(), &3.into())
    );
    // Assigned from now on: hears it from its start. Not assigned any more: hears nothing new.
    let [one, two] = [1, 2].map(|n: usize| boxes[n].edge.of.to_string());
    answer(&["tenant", "assign", &two, "two"], &postgres);
    boxes[2].has(3).await;
    answer(&["tenant", "assign", &one], &postgres);
    order(&settings, "tenant/one", ENTRY);
    order(&settings, "fleet", &flag("b"));
    boxes[0].has(7).await;
    boxes[1].has(4).await;
    assert!(!took(1).contains(&("tenant/one".to_owned(), 2)), "it serves that tenant no more");
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_missed_or_taken_twice_while_hubs_are_killed() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    add_tenant(&postgres, "one");
    let mut hub = Hub::start(&settings);
    let boxes: Vec<_> = (1..=2).map(|number| Obeys::new(&settings, number, &["one"])).collect();
    // More than a window and a queue hold, before anybody listens.
    let database = hub::Database::new(&postgres.url()).unwrap();
    let key = std::fs::read(settings.with_file_name("hub.key")).unwrap();
    let key = hub::receipt::HubKey::new(&key).unwrap();
    let mut client = database.connect().await.unwrap();
    let mut give = async |to: &str, many: usize| {
        for _ in 0..many {
            let drain = domain::directive::Flag { name: "a".parse().unwrap(), on: true };
            let (to, by) = (to.parse().unwrap(), "test".parse().unwrap());
            hub::directives::give(&mut client, &key, to, by, drain.into()).await.unwrap();
        }
    };
    give("fleet", 150).await;
    let running: Vec<_> = boxes.iter().map(|one| one.edge.obey(Arc::clone(one) as _)).collect();
    for round in 1..=3 {
        give("tenant/one", 30).await;
        boxes[round % 2].has(30 * round).await;
        hub.kill();
        hub = Hub::start(&settings);
        give("fleet", 20).await;
    }
    for one in &boxes {
        one.has(150 + 3 * 50).await;
        one.edge.journal.settled().await;
        let took = one.took();
        for (lane, many) in [("fleet", 210), ("tenant/one", 90)] {
            let numbers: Vec<u64> = took.iter().filter(|t| t.0 == lane).map(|t| t.1).collect();
            assert!(numbers.into_iter().eq(1..=many), "{lane}: each once, in order");
        }
    }
    for one in running {
        one.stop().await;
    }
    let query = "SELECT count(*), count(DISTINCT (box, epoch, lane, seq)) FROM directive_receipts";
    let row = client.query_one(query, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (600, 600));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_believed_by_boxes_old_and_new() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let hub = Hub::start(&settings);
    let old = Obeys::new(&settings, 1, &[]);
    let away = Obeys::new(&settings, 2, &[]);
    order(&settings, "fleet", &flag("a"));
    let running = old.edge.obey(Arc::clone(&old) as _);
    old.has(1).await;
    running.stop().await;
    hub.kill();
    let file = settings.to_str().unwrap();
    told(&weir_hub(&["key", "rotate", "--config", file]));
    let _hub = Hub::start(&settings);
    let new = Obeys::new(&settings, 3, &[]);
    assert_ne!(new.edge.granted.hub_key, old.edge.granted.hub_key);
    order(&settings, "fleet", &flag("b"));
    for one in [&old, &away, &new] {
        let running = one.edge.obey(Arc::clone(one) as _);
        one.has(3).await;
        running.stop().await;
        assert_eq!(one.took()[1].2, "rotate");
        assert_eq!(one.inner.lock().unwrap().distrusted, 0);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_ordered_nowhere() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    add_tenant(&postgres, "one");
    let file = settings.to_str().unwrap();
    let of = format!("box/{}", uuid::Uuid::from_u128(7));
    let refused = |to: &str, order: &str| {
        let output = weir_hub(&["directive", "order", "--config", file, "--to", to, order]);
        assert!(!output.status.success(), "{to} {order}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (to, order, why) in [
        ("tenant/nobody", ENTRY, "weir-hub tenant add nobody"),
        ("everybody", ENTRY, "write `fleet`"),
        ("fleet", ENTRY, "at the address of a tenant"),
        ("fleet", r#"{"kind":"drain","on":true}"#, "at the address of a box"),
        ("tenant/one", r#"{"kind":"bundle","sha256":"BUNDLE"}"#, "a box or the fleet"),
        ("fleet", r#"{"kind":"bundle","sha256":"BUNDLE"}"#, "weir-hub blob add"),
        ("fleet", r#"{"kind":"explode"}"#, "unknown variant `explode`"),
        ("fleet", r#"{"kind":"flag","name":"a b","on":true}"#, "is no code"),
        ("fleet", r#"{"kind":"erase","tenant":"one","author":{"id":"x"}}"#, "the author's tenant"),
        (
            "tenant/one",
            r#"{"kind":"erase","tenant":"one","author":{"number":"07"}}"#,
            "the box that drew it",
        ),
        (
            &of,
            r#"{"kind":"rule","tenant":"one","submission":"0190a000-0000-7000-8000-000000000001","seen":0,"approve":false}"#,
            "categories",
        ),
        (
            "tenant/one",
            r#"{"kind":"reopen","tenant":"one","submission":"0190a000-0000-7000-8000-000000000001","seen":1}"#,
            "the box that judged it",
        ),
        ("fleet", r#"{"kind":"release","bytes":"AA==","signature":""}"#, "damaged"),
    ] {
        let said = refused(to, &order.replace("BUNDLE", &"07".repeat(32)));
        assert!(said.contains(why), "{to} {order}: {said}");
    }
    assert_eq!(answer(&["directive", "list"], &postgres), Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_box_passed_over_in_the_hubs_name_is_an_alarm() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let _hub = Hub::start(&settings);
    let one = Obeys::new(&settings, 1, &[]);
    let body = Body::Distrusted(Distrusted { why: "unsigned".parse().unwrap(), count: 3 });
    one.edge.journal.write(|paper| paper.append(Lane::Critical, Subject::Box, body, None));
    let running = one.edge.obey(Arc::clone(&one) as _);
    one.edge.journal.settled().await;
    running.stop().await;
    let database = hub::Database::new(&postgres.url()).unwrap();
    let query = "SELECT count(*) FROM alarms WHERE kind = 'directive' AND code = 'unsigned'";
    assert_eq!(common::count(&database, query).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_a_box_never_takes_keeps_no_other_from_it() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    ["strange", "zoo"].into_iter().for_each(|tenant| add_tenant(&postgres, tenant));
    let _hub = Hub::start(&settings);
    let one = Obeys::new(&settings, 1, &["strange", "zoo"]);
    let database = hub::Database::new(&postgres.url()).unwrap();
    let key = std::fs::read(settings.with_file_name("hub.key")).unwrap();
    let key = hub::receipt::HubKey::new(&key).unwrap();
    let mut client = database.connect().await.unwrap();
    for to in ["tenant/strange"; 100].into_iter().chain(["tenant/zoo"; 40]) {
        let flag = domain::directive::Flag { name: "a".parse().unwrap(), on: true };
        let (to, by) = (to.parse().unwrap(), "test".parse().unwrap());
        hub::directives::give(&mut client, &key, to, by, flag.into()).await.unwrap();
    }
    let running = one.edge.obey(Arc::clone(&one) as _);
    one.has(40).await;
    running.stop().await;
    assert!(one.took().iter().all(|took| took.0 == "tenant/zoo"));
}
