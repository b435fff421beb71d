//! What an item is about: findings, words, previews. Findings and previews come from the box when somebody asks, and are kept nowhere.

use std::time::{Duration, Instant};

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::journal::{BoxId, Code, SubmissionId};
use serde::Deserialize;
use serde_json::{Value, json};
use sync::request::{Answer, Ask, Preview, Unanswered};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::account::session::Who;
use crate::audit::{self, Deed};
use crate::http::Api;
use crate::requests::{Question, Unmet};
use crate::review::{Item, claim, queue};
use crate::screens::BY_SCREEN;
use crate::screens::extract::{Path, Query};
use crate::screens::own::Exposure;
use crate::screens::page::{Frame, Refusal, html};
use crate::tongue::Text;

/// How long a picture waits for its turn, and how often it looks.
const TURN: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(250);

/// Findings that are shown of an item, the surest first.
const FINDINGS: usize = 60;

/// A piece of a text: matched or not.
struct Piece {
    text: String,
    matched: bool,
}

struct Finding {
    label: String,
    detector: String,
    percent: String,
    /// From and to, in milliseconds.
    span: Option<(u64, u64)>,
    at: String,
}

struct Medium {
    index: usize,
    kind: String,
    size: String,
    width: f64,
    height: f64,
    duration_ms: u64,
    faces: Vec<[f64; 4]>,
    /// Moments to look at, in milliseconds.
    moments: Vec<u64>,
}

impl Medium {
    /// Where on the time line a span lies, in percent.
    fn left(&self, ms: &u64) -> f64 {
        *ms as f64 * 100.0 / self.duration_ms.max(1) as f64
    }

    fn wide(&self, (from, to): &(u64, u64)) -> f64 {
        (self.left(to) - self.left(from)).max(0.8)
    }

    fn clock(&self, ms: &u64) -> String {
        format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
    }
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct Evidence {
    frame: Frame,
    item: Item,
    exposure: Exposure,
    /// Why the box did not answer.
    away: Option<String>,
    findings: Vec<Finding>,
    media: Vec<Medium>,
    /// Why not all was seen; nothing where it was.
    unseen: Option<String>,
    caption: Vec<Piece>,
    reports: Vec<String>,
    appeals: Vec<String>,
    read: String,
}

/// `GET …/evidence`: a part of the item's page.
pub(in crate::screens) async fn evidence(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let item = queue::find(&client, &who, of, subject).await?;
    let exposure = Exposure::of(&client, &who).await?;
    let words = sides(&client, of, subject, DECIDED).await?.join("\n");
    let caption = sides(&client, of, subject, ACCEPTED).await?.pop().unwrap_or_default();
    let reports = reports(&client, of, subject).await?;
    let appeals = sides(&client, of, subject, APPEALED).await?;
    // The box takes its time: the connection is for others meanwhile.
    drop(client);
    let (told, away) = match ask(&api, &who, of, Ask::Findings(SubmissionId(subject))).await {
        Ok(answer) => (serde_json::from_slice(&answer.bytes).unwrap_or(Value::Null), None),
        Err(Unmet::Hub(_)) => (Value::Null, Some("the database is away".into())),
        Err(unmet) => (Value::Null, Some(unmet.to_string())),
    };
    let media = media(&told);
    html(&Evidence {
        item,
        frame: Frame::new(&who, "/ops/review", ""),
        exposure,
        away,
        findings: findings(&told),
        media,
        unseen: unseen(&told),
        caption: pieces(&caption, &words),
        reports,
        appeals,
        read: words,
    })
}

/// Kinds of entries whose side records are words.
const ACCEPTED: &[i16] = &[2, 22];
const DECIDED: &[i16] = &[4];
const APPEALED: &[i16] = &[7];

/// What was written, as long as nobody erased it.
async fn sides(
    client: &Client,
    of: Uuid,
    subject: Uuid,
    kinds: &[i16],
) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "SELECT s.bytes FROM sides s JOIN entries e ON e.box = s.box AND e.epoch = s.epoch AND e.lane = s.lane AND e.seq = s.seq
        WHERE s.box = $1 AND s.submission = $2 AND e.kind = ANY($3) ORDER BY s.received_at DESC LIMIT 20";
    let rows = client.query(query, &[&of, &subject, &kinds]).await?;
    rows.iter().map(|row| Ok(String::from_utf8_lossy(row.try_get(0)?).into_owned())).collect()
}

/// What reporters wrote.
async fn reports(
    client: &Client,
    of: Uuid,
    subject: Uuid,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "SELECT s.bytes FROM review_reports r JOIN sides s ON s.box = r.box AND s.epoch = r.epoch AND s.lane = r.lane AND s.seq = r.seq
        WHERE r.box = $1 AND r.subject = $2 ORDER BY s.received_at DESC LIMIT 20";
    let rows = client.query(query, &[&of, &subject]).await?;
    rows.iter().map(|row| Ok(String::from_utf8_lossy(row.try_get(0)?).into_owned())).collect()
}

/// A text with the words that matched set apart.
fn pieces(text: &str, words: &str) -> Vec<Piece> {
    let lower = text.to_lowercase();
    // Lower case may have other lengths in a few scripts: then nothing is marked, rather than the wrong thing.
    let words: Vec<String> = match lower.len() == text.len() {
        true => words
            .lines()
            .map(|word| word.trim().to_lowercase())
            .filter(|word| word.len() > 1)
            .collect(),
        false => Vec::new(),
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while at < text.len() {
        let here = words.iter().filter(|word| lower[at..].starts_with(word.as_str()));
        match here.map(String::len).max() {
            Some(length) if text.is_char_boundary(at + length) => {
                if plain < at {
                    pieces.push(Piece { text: text[plain..at].to_owned(), matched: false });
                }
                pieces.push(Piece { text: text[at..at + length].to_owned(), matched: true });
                at += length;
                plain = at;
            }
            _ => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
        while at < text.len() && !(text.is_char_boundary(at) && lower.is_char_boundary(at)) {
            at += 1;
        }
    }
    if plain < text.len() {
        pieces.push(Piece { text: text[plain..].to_owned(), matched: false });
    }
    pieces
}

fn findings(told: &Value) -> Vec<Finding> {
    let all = told["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all: Vec<&Value> = all.iter().collect();
    let score = |finding: &Value| finding["score"].as_f64().unwrap_or_default();
    all.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let finding = |finding: &&Value| {
        let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let span = finding["start_ms"].as_u64().zip(finding["end_ms"].as_u64());
        let clock = |ms: u64| format!("{}:{:02}", ms / 60_000, ms / 1000 % 60);
        Finding {
            label: word("label"),
            detector: word("detector"),
            percent: format!("{:.0} %", score(finding) * 100.0),
            at: span
                .map_or_else(String::new, |(from, to)| format!("{}–{}", clock(from), clock(to))),
            span,
        }
    };
    all.iter().take(FINDINGS).map(finding).collect()
}

fn media(told: &Value) -> Vec<Medium> {
    let spans: Vec<u64> =
        findings(told).iter().filter_map(|one| one.span.map(|(from, _)| from)).collect();
    let all = told["media"].as_array().map(Vec::as_slice).unwrap_or_default();
    let medium = |(index, medium): (usize, &Value)| {
        let number = |key: &str| medium[key].as_f64().unwrap_or_default();
        let duration_ms = medium["duration_ms"].as_u64().unwrap_or_default();
        let faces = medium["faces"].as_array().map(Vec::as_slice).unwrap_or_default();
        let face = |face: &Value| serde_json::from_value(face["box"].clone()).ok();
        let mut moments: Vec<u64> = match duration_ms {
            0 => Vec::new(),
            all => (0..6)
                .map(|n| n * all / 6)
                .chain(spans.iter().copied().filter(|at| *at <= all))
                .collect(),
        };
        moments.sort_unstable();
        moments.dedup_by_key(|ms| *ms / 1000);
        moments.truncate(16);
        Medium {
            index,
            kind: medium["kind"].as_str().unwrap_or("unknown").to_owned(),
            size: format!("{:.0} × {:.0}", number("width"), number("height")),
            width: number("width"),
            height: number("height"),
            duration_ms,
            faces: faces.iter().filter_map(face).collect(),
            moments,
        }
    };
    all.iter().enumerate().map(medium).collect()
}

/// What the verdict does not rest on; nothing where all was seen.
fn unseen(told: &Value) -> Option<String> {
    let why = told["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    let why: Vec<&str> = why.iter().filter_map(Value::as_str).collect();
    (told["complete"] == false).then(|| why.join(", "))
}

/// Which picture.
#[derive(Deserialize)]
pub(in crate::screens) struct Wanted {
    #[serde(default)]
    index: u16,
    at_ms: Option<u64>,
}

/// `GET …/preview`: a small picture, straight from the box.
pub(in crate::screens) async fn preview(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // By itself, in a window of its own, it would be neither blurred nor grey.
    if headers.get("sec-fetch-dest").is_some_and(|dest| dest != "image") {
        return Err(Refusal::forbidden("previews are shown within an item's page only"));
    }
    queue::find(&*api.pool().take().await?, &who, of, subject).await?;
    let Wanted { index, at_ms } = wanted;
    let preview = Preview { submission: SubmissionId(subject), index, at_ms };
    let answer = ask(&api, &who, of, Ask::Preview(preview)).await.map_err(refusal)?;
    if answer.content_type != "image/jpeg" {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "the box sent no picture"));
    }
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((headers, answer.bytes).into_response())
}

fn refusal(unmet: Unmet) -> Refusal {
    match unmet {
        Unmet::Hub(error) => error.into(),
        unmet => {
            let what = Text::from("the box shows no picture: {why}").with("why", unmet);
            Refusal::new(StatusCode::BAD_GATEWAY, what)
        }
    }
}

/// `POST …/reveal`: somebody wants to see it as it is. That is noted.
pub(in crate::screens) async fn reveal(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Refusal> {
    let mut client = api.pool().take().await?;
    let item = queue::find(&client, &who, of, subject).await?;
    let deed = Deed {
        action: "review.reveal",
        subject: format!("{of}/{subject}"),
        tenant: Some(&item.tenant),
        why: "",
        detail: json!({}),
    };
    audit::note_alone(&mut client, api.hub_key()?, (&who).into(), &deed).await?;
    claim::hold_on(&client, &who, of, subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ask(api: &Api, who: &Who, of: Uuid, ask: Ask) -> Result<Answer, Unmet> {
    let by = Code::lossy(&who.account.account.to_string());
    let question = Question { of: BoxId(of), ask, token: BY_SCREEN.to_owned(), by };
    let Some(desk) = api.asks() else { return Err(Unmet::Away) };
    let begun = Instant::now();
    loop {
        match desk.ask(&question).await {
            // A page has many pictures, and a box few places: each waits for its turn.
            Err(Unmet::Crowded | Unmet::Box(Unanswered::Busy)) if begun.elapsed() < TURN => {
                tokio::time::sleep(LOOK).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, words: &str) -> String {
        let mark = |piece: &Piece| {
            if piece.matched { format!("[{}]", piece.text) } else { piece.text.clone() }
        };
        pieces(text, words).iter().map(mark).collect()
    }

    #[test]
    fn what_matched_is_set_apart() {
        assert_eq!(shown("Buy CHEAP pills, cheap!", "cheap\nbuy"), "[Buy] [CHEAP] pills, [cheap]!");
        assert_eq!(shown("été à l'école", "à"), "été [à] l'école");
        assert_eq!(shown("nothing", ""), "nothing");
        assert_eq!(shown("İstanbul <b>x</b>", "x\nistanbul"), "İstanbul <b>x</b>", "other lengths");
        assert_eq!(shown("", "x"), "");
    }
}
