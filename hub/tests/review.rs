//! The queue of reviews where things go wrong: boxes that refuse, claims that run out, media that everybody posts; who gets what. Real Postgres, a
//! box on paper.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Paper, acked, count, ingest, migrated};
use domain::directive::{Address, Place};
use domain::journal::{
    AcceptedIn, Body, Decided, Directed, Epoch, Lane, Seq, Subject, SubmissionId,
};
use domain::{Action, Category, Severity, Status};
use hub::account::session::{self, Who};
use hub::account::{self, Newcomer, Role};
use hub::ingest::{Config, Ingest};
use hub::receipt::HubKey;
use hub::review::decide::{self, Decision, Verb};
use hub::review::queue::{self, Wanted};
use hub::review::{Tab, claim, turns, undo};
use hub::tongue::Tongue;
use hub::{Database, Error, Pool};
use rig::postgres::Postgres;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

struct Site {
    _postgres: Postgres,
    database: Database,
    ingest: Ingest,
    _tasks: JoinSet<()>,
    key: HubKey,
    paper: Paper,
    told: u64,
}

impl Site {
    async fn new() -> Self {
        let postgres = Postgres::start();
        let database = migrated(&postgres).await;
        let (ingest, tasks) = ingest(&database, Config::default());
        let paper = Paper::new(7);
        paper.enrol(&database).await;
        let key = HubKey::new(&HubKey::generate().unwrap()).unwrap();
        let client = database.connect().await.unwrap();
        hub::tenant::add(&client, &"acme".parse().unwrap()).await.unwrap();
        let query = "INSERT INTO box_tenants (box, tenant) VALUES ($1, 'acme')";
        client.execute(query, &[&paper.of.0]).await.unwrap();
        Self { _postgres: postgres, database, ingest, _tasks: tasks, key, paper, told: 0 }
    }

    async fn client(&self) -> hub::database::Connection {
        self.database.connect().await.unwrap()
    }

    /// The hub hears what the box has written since.
    async fn tell(&mut self) {
        let batch = self.paper.batch(Lane::Critical, self.told, 1000);
        let answer =
            self.ingest.batch(self.paper.of, &batch).await.unwrap().answer().await.unwrap();
        self.told = acked(&answer);
    }

    /// A photo is held for a person.
    async fn held(&mut self) -> (Uuid, Uuid) {
        let id = self.paper.photo(Lane::Critical, Some(5));
        self.decided(id, 1, Some(0));
        self.tell().await;
        (self.paper.of.0, id.0)
    }

    fn decided(&mut self, id: SubmissionId, number: u32, supersedes: Option<u32>) {
        let Body::Decided(decided) = common::decided() else { panic!() };
        let decided = Decided {
            number,
            supersedes,
            status: Status::Held,
            action: Action::Hide,
            severity: Severity::Medium,
            ..decided
        };
        self.paper.append(Lane::Critical, Subject::Submission(id), Body::Decided(decided), None);
    }

    /// The box answers the newest directive to it.
    async fn answers(&mut self, refused: Option<&str>) {
        let lane = format!("box/{}", self.paper.of);
        let query = "SELECT epoch, seq FROM directives WHERE lane = $1 ORDER BY seq DESC LIMIT 1";
        let row = self.client().await.query_one(query, &[&lane]).await.unwrap();
        let (epoch, seq): (i64, i64) = (row.get(0), row.get(1));
        let place = Place {
            epoch: Epoch(epoch.cast_unsigned()),
            to: Address::Box(self.paper.of),
            seq: Seq(seq.cast_unsigned()),
        };
        let refused = refused.map(|code| code.parse().unwrap());
        let body = Body::Directed(Directed { place, order: RULE, refused });
        self.paper.append(Lane::Critical, Subject::Box, body, None);
        self.tell().await;
    }

    async fn person(&self, name: &str, role: Role, skills: &[&str]) -> Who {
        let client = self.client().await;
        let newcomer = Newcomer { name: name.into(), shown: name.into(), role, tenants: None };
        let id = account::add(&client, "test", &newcomer).await.unwrap();
        let skills: Vec<String> = skills.iter().map(ToString::to_string).collect();
        let query = "UPDATE accounts SET skills = $2 WHERE account = $1";
        client.execute(query, &[&id, &skills]).await.unwrap();
        let account = account::find(&client, id).await.unwrap();
        Who {
            account,
            csrf: String::new(),
            session: Vec::new(),
            remote: String::new(),
            tongue: Tongue::English,
            means: String::new(),
        }
    }

    async fn rejects(&self, who: &Who, item: (Uuid, Uuid), remember: bool) -> Result<Uuid, Error> {
        let verb =
            Verb::Reject { category: Category::Violence, severity: Severity::High, remember };
        let decision = Decision { verb, reason: "clear violation".into(), seen: Some(1) };
        decide::decide(&mut *self.client().await, &self.key, who, item, &decision).await
    }

    async fn count(&self, query: &str) -> i64 {
        count(&self.database, query).await
    }
}

/// The number of the order `rule`.
const RULE: u16 = 6;

async fn claimed(client: &Client, who: &Who, (of, subject): (Uuid, Uuid)) -> Result<(), Error> {
    claim::claim(client, who, of, subject).await.map(drop)
}

fn says(result: Result<impl std::fmt::Debug, Error>, what: &str) {
    let told = result.unwrap_err().to_string();
    assert!(told.contains(what), "{told}");
}

#[tokio::test]
async fn what_a_box_refuses_comes_back_and_lists_nothing() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &[]).await;
    let item = site.held().await;
    claimed(&*site.client().await, &ann, item).await.unwrap();
    site.rejects(&ann, item, true).await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM reviews WHERE open").await, 0);
    assert_eq!(site.count("SELECT count(*) FROM list_entries WHERE on_list").await, 1);
    site.answers(Some("superseded")).await;
    let back =
        "SELECT count(*) FROM reviews WHERE open AND refused = 'superseded' AND claimed_by IS NULL";
    assert_eq!(site.count(back).await, 1, "it waits again and says why");
    assert_eq!(site.count("SELECT count(*) FROM list_entries WHERE on_list").await, 0);
    let away = "SELECT count(*) FROM directives WHERE kind = 'list'";
    assert_eq!(site.count(away).await, 2, "it came, and was ordered away");
    // Decided anew, it stays decided.
    claimed(&*site.client().await, &ann, item).await.unwrap();
    site.rejects(&ann, item, false).await.unwrap();
    site.answers(None).await;
    assert_eq!(site.count("SELECT count(*) FROM reviews WHERE open").await, 0);
    // What the box does not know any more cannot be decided by anybody.
    let gone = site.held().await;
    claimed(&*site.client().await, &ann, gone).await.unwrap();
    site.rejects(&ann, gone, false).await.unwrap();
    site.answers(Some("unknown_submission")).await;
    assert_eq!(site.count("SELECT count(*) FROM reviews WHERE open").await, 0);
}

#[tokio::test]
async fn an_undo_that_a_box_refuses_leaves_the_decision_in_force() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &[]).await;
    let item = site.held().await;
    claimed(&*site.client().await, &ann, item).await.unwrap();
    let decision = site.rejects(&ann, item, false).await.unwrap();
    site.answers(None).await;
    let mut client = site.client().await;
    undo::undo(&mut client, &site.key, &ann, item.0, decision).await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM reviews WHERE open").await, 1);
    says(site.rejects(&ann, item, false).await, "has not answered yet");
    site.answers(Some("superseded")).await;
    let closed = "SELECT count(*) FROM reviews WHERE NOT open AND refused = 'superseded'";
    assert_eq!(site.count(closed).await, 1, "closed as before, and it says why");
    let stands = "SELECT count(*) FROM review_decisions WHERE undone_at IS NULL";
    assert_eq!(site.count(stands).await, 1, "the decision is not undone");
}

#[tokio::test]
async fn what_everybody_posts_is_not_remembered_by_one_person() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::SeniorModerator, &[]).await;
    let item = site.held().await;
    let client = site.client().await;
    let others = "INSERT INTO media SELECT m.box, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, m.sha256, m.kind, m.bytes, now()
        FROM media m, generate_series(1, 499) n WHERE m.submission = $1";
    client.execute(others, &[&item.1]).await.unwrap();
    let submissions = "INSERT INTO submissions SELECT $1, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'acme', 'post', NULL, false, 0, now()
        FROM generate_series(1, 499) n";
    client.execute(submissions, &[&item.0]).await.unwrap();
    claimed(&client, &ann, item).await.unwrap();
    says(site.rejects(&ann, item, true).await, "in 500 submissions of the last 7 days");
    assert_eq!(site.count("SELECT count(*) FROM directives").await, 0, "nothing of it was done");
    assert_eq!(site.count("SELECT count(*) FROM reviews WHERE open").await, 1);
    site.rejects(&ann, item, false).await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM directives").await, 1);
}

#[tokio::test]
async fn a_claim_holds_for_a_time_and_then_for_nobody() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &[]).await;
    let ben = site.person("ben", Role::Moderator, &[]).await;
    let item = site.held().await;
    let client = site.client().await;
    claimed(&client, &ann, item).await.unwrap();
    says(claimed(&client, &ben, item).await, "has it in hand");
    assert_eq!(claim::next(&client, &ben, Tab::Flagged).await.unwrap(), None);
    let later = "UPDATE reviews SET claimed_until = now() - interval '1 second'";
    client.execute(later, &[]).await.unwrap();
    assert_eq!(claim::next(&client, &ben, Tab::Flagged).await.unwrap(), Some(item));
    says(site.rejects(&ann, item, false).await, "somebody else has it in hand");
    // Ran out, but nobody took it: what was typed is not lost.
    client.execute(later, &[]).await.unwrap();
    site.rejects(&ben, item, false).await.unwrap();
}

#[tokio::test]
async fn the_next_item_is_ones_own_then_what_one_is_good_at() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &["hate"]).await;
    let ben = site.person("ben", Role::Moderator, &[]).await;
    let (first, second, third) = (site.held().await, site.held().await, site.held().await);
    let client = site.client().await;
    let set = async |item: (Uuid, Uuid), category: &str, assignee: Option<Uuid>| {
        let query = "UPDATE reviews SET category = $2, assignee = $3 WHERE subject = $1";
        client.execute(query, &[&item.1, &category, &assignee]).await.unwrap();
    };
    set(first, "spam", None).await;
    set(second, "hate", None).await;
    set(third, "spam", Some(ann.account.account)).await;
    let next = async |who: &Who| claim::next(&client, who, Tab::Flagged).await.unwrap();
    assert_eq!(next(&ann).await, Some(third), "her own");
    assert_eq!(next(&ann).await, Some(second), "what she is good at");
    assert_eq!(next(&ben).await, Some(first));
    assert_eq!(next(&ben).await, None, "what is another's is not his");
}

#[tokio::test]
async fn an_item_has_the_language_of_its_submission_whichever_the_hub_hears_of_first() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &["sw"]).await;
    let accept = |site: &mut Site, id: u128, tag: &str| {
        let id = SubmissionId(Uuid::from_u128(id));
        let accepted = common::accepted(None, id.0.as_u128());
        let body = Body::AcceptedIn(AcceptedIn { accepted, language: tag.parse().unwrap() });
        let side = Some(common::side(1));
        site.paper.append(Lane::Critical, Subject::Submission(id), body, side);
        id
    };
    // In groups of their own, as lanes bring them, and in one.
    let french = accept(&mut site, 1, "fr");
    site.tell().await;
    site.decided(french, 1, Some(0));
    site.tell().await;
    site.decided(SubmissionId(Uuid::from_u128(2)), 1, Some(0));
    site.tell().await;
    let swahili = accept(&mut site, 2, "SW-KE");
    site.tell().await;
    let amharic = accept(&mut site, 3, "am");
    site.decided(amharic, 1, Some(0));
    site.tell().await;
    site.held().await;
    let client = site.client().await;
    let found = async |lang: &str| {
        let wanted = Wanted { lang: lang.into(), ..Wanted::default() };
        let (items, _) = queue::page(&client, &ann, &wanted).await.unwrap();
        items.into_iter().map(|item| item.subject).collect::<Vec<_>>()
    };
    assert_eq!(found("fr").await, [french.0]);
    assert_eq!(found("sw").await, [swahili.0]);
    assert_eq!(found("AM").await, [amharic.0]);
    assert_eq!(found("de").await, Vec::<Uuid>::new());
    assert_eq!(found("").await.len(), 4);
    let query = "SELECT count(*) FROM submissions WHERE language = 'SW-KE' AND has_text";
    assert_eq!(site.count(query).await, 1, "the tag as it was told, and all else beside it");
    assert_eq!(site.count("SELECT count(*) FROM media").await, 4, "also its media");
    let wrong = Wanted { lang: "french".into(), ..Wanted::default() };
    says(queue::page(&client, &ann, &wrong).await.map(drop), "a code such as `fr`");
    // Who is good at a language gets what is in it first, though the others have waited longer.
    let next = claim::next(&client, &ann, Tab::Flagged).await.unwrap();
    assert_eq!(next.map(|(_, subject)| subject), Some(swahili.0));
}

#[tokio::test]
async fn in_turns_items_go_to_those_who_are_there_and_come_back_when_they_leave() {
    let mut site = Site::new().await;
    let ann = site.person("ann", Role::Moderator, &[]).await;
    let ben = site.person("ben", Role::Moderator, &[]).await;
    site.person("away", Role::Moderator, &[]).await;
    let watcher = site.person("eve", Role::Observer, &[]).await;
    let client = site.client().await;
    for who in [&ann, &ben, &watcher] {
        session::open(&client, who.account.account, true, "test", "").await.unwrap();
    }
    let mut items = Vec::new();
    for _ in 0..6 {
        items.push(site.held().await);
    }
    let pool = Pool::new(site.database.clone(), 1);
    turns::pass(&pool).await.unwrap();
    let share = async |who: &Who| {
        let query = format!(
            "SELECT count(*) FROM reviews WHERE assignee = '{}' AND in_turn",
            who.account.account
        );
        count(&site.database, &query).await
    };
    assert_eq!((share(&ann).await, share(&ben).await), (3, 3));
    turns::pass(&pool).await.unwrap();
    assert_eq!((share(&ann).await, share(&ben).await), (3, 3), "nothing moves by itself");
    // One has an item in hand, another was given one by a senior moderator, and leaves.
    let held = claim::next(&client, &ann, Tab::Flagged).await.unwrap().unwrap();
    let by_hand = "UPDATE reviews SET in_turn = false WHERE subject = (SELECT subject FROM reviews WHERE assignee = $1 AND claimed_by IS NULL LIMIT 1)";
    client.execute(by_hand, &[&ann.account.account]).await.unwrap();
    let gone = "DELETE FROM sessions WHERE account = $1";
    client.execute(gone, &[&ann.account.account]).await.unwrap();
    turns::pass(&pool).await.unwrap();
    assert_eq!(share(&ben).await, 4, "what she had not in hand");
    let hers = format!("SELECT count(*) FROM reviews WHERE assignee = '{}'", ann.account.account);
    assert_eq!(count(&site.database, &hers).await, 2, "in hand, and given by hand");
    assert!(items.contains(&held));
}
