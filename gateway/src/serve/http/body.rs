//! What a client asks for: a JSON document, checked before anything is done.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use domain::journal::{Code, SubmissionId};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::problem::{Outcome, Problem};

/// Bytes of `meta`, or of a JSON body.
pub const META_BYTES: usize = 256 << 10;

/// Items on one page, unless fewer are asked for; and the most.
const PAGE: u32 = 50;
/// The most on one page.
pub const LONGEST_PAGE: u32 = 200;

/// Bytes of an address: presigned ones carry a few hundred of signature.
const URL_BYTES: usize = 8192;

/// Characters of a caption: as many as the text detectors read whole, and more than any platform allows.
const TEXT_CHARS: usize = 50_000;

/// Characters of the client's own tag, and of an idempotency key.
const TAG_CHARS: usize = 255;

/// `meta` of a submission.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Kind of place it would appear, such as `photo`.
    #[serde(default)]
    pub surface: Option<String>,
    /// The platform's name for its author; kept as a keyed hash only.
    #[serde(default)]
    pub author: Option<String>,
    /// Caption.
    #[serde(default)]
    pub text: Option<String>,
    /// BCP 47 language of the caption.
    #[serde(default)]
    pub language: Option<String>,
    /// 0 to 9, higher goes first.
    #[serde(default, deserialize_with = "number")]
    pub priority: u8,
    /// Echoed.
    #[serde(default)]
    pub client_tag: Option<String>,
    /// Media to be fetched.
    #[serde(default)]
    pub media: Vec<Address>,
}

/// A medium that the platform has stored already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Presigned GET. Its query is a secret.
    pub url: String,
}

impl Meta {
    /// Reads the document.
    ///
    /// # Errors
    /// 400 for what is no JSON, 422 for what cannot be asked.
    pub fn parse(bytes: &[u8]) -> Outcome<Self> {
        let meta: Self = parse(bytes, "meta")?;
        meta.check()?;
        Ok(meta)
    }

    /// Checks lengths and ranges.
    ///
    /// # Errors
    /// 422 that names the key.
    pub fn check(&self) -> Outcome<()> {
        let long = |name, value: &Option<String>, most: usize| match value {
            Some(v) if v.chars().count() > most => {
                let detail = format!("`{name}` has more than {most} characters");
                Err(Problem::invalid("meta", detail))
            }
            Some(v) if v.is_empty() && name != "text" => {
                Err(Problem::invalid("meta", format!("`{name}` is empty; leave it out instead")))
            }
            _ => Ok(()),
        };
        long("author", &self.author, TAG_CHARS)?;
        long("client_tag", &self.client_tag, TAG_CHARS)?;
        long("text", &self.text, TEXT_CHARS)?;
        if self.media.iter().any(|medium| medium.url.len() > URL_BYTES) {
            let detail = format!("a `url` has more than {URL_BYTES} bytes");
            return Err(Problem::invalid("media", detail));
        }
        if self.priority > store::HIGHEST_PRIORITY {
            return Err(Problem::invalid("meta", "`priority` is a number from 0 to 9"));
        }
        Ok(())
    }

    /// The surface as a code; `any` where none is told.
    ///
    /// # Errors
    /// 422 where the profile does not know it.
    pub fn surface(&self, known: &[String]) -> Outcome<Code> {
        let surface = match (&self.surface, known.first()) {
            (Some(surface), _) => surface.as_str(),
            (None, Some(first)) => first,
            (None, None) => "any",
        };
        if !known.is_empty() && !known.iter().any(|k| k == surface) {
            let detail = format!("`surface` is one of {} here", known.join(", "));
            return Err(Problem::invalid("surface", detail));
        }
        surface.parse().map_err(|error| Problem::invalid("surface", format!("`surface`: {error}")))
    }

    /// The language as a code.
    ///
    /// # Errors
    /// 422 where it is none.
    pub fn language(&self) -> Outcome<Option<Code>> {
        let Some(language) = &self.language else { return Ok(None) };
        let tag =
            language.len() <= 35 && language.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let code = language.parse().ok().filter(|_| tag);
        code.map(Some).ok_or_else(|| {
            Problem::invalid("language", "`language` is a tag such as `fr` or `sw-KE`")
        })
    }
}

/// An object of JSON out of a call's body.
///
/// # Errors
/// 415 for another media type, 413 for a long body, 400 for what is no JSON, 422 for what cannot be asked.
pub async fn object<T: DeserializeOwned>(request: Request) -> Outcome<T> {
    if media_type(request.headers()) != "application/json" {
        let detail = "send application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail));
    }
    parse(&small_body(request).await?, "body")
}

/// Nothing is unpacked here: a few bytes could become any number.
///
/// # Errors
/// 415 where the body is packed.
pub fn refuse_encoded(headers: &HeaderMap) -> Outcome<()> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "send bodies as they are, without Content-Encoding",
        ));
    }
    Ok(())
}

/// How long a body may take to arrive. Goes with each request.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(pub Duration);

/// The body did not arrive in time.
pub fn slow() -> Problem {
    let detail = "the body took too long to arrive: send it again over a better line, or name an address instead";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail).after(Duration::from_secs(1))
}

/// A short body.
///
/// # Errors
/// 415 where it is packed, 408 where it does not arrive in time, 413 where it is not short.
pub async fn small_body(request: Request) -> Outcome<Bytes> {
    refuse_encoded(request.headers())?;
    let time = request.extensions().get().map_or(Duration::MAX, |Arrival(time)| *time);
    let reading = axum::body::to_bytes(request.into_body(), META_BYTES);
    tokio::time::timeout(time, reading).await.map_err(|_| slow())?.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("a JSON body has at most {META_BYTES} bytes, and arrives whole"),
        )
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8], name: &'static str) -> Outcome<T> {
    // The library would take a list of values for the keys in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid(name, format!("{name}: write an object, `{{…}}`")));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(name, format!("{name}: {error}")),
        _ => Problem::bad("json", format!("this is not JSON in UTF-8: {error}")),
    })
}

/// A whole number, also as `7.0`, which JSON Schema calls an integer.
///
/// # Errors
/// Where it is none, or out of the range of `T`.
pub fn whole<'de, T: TryFrom<u64>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let Some(value) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    let real = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9e15).contains(n));
    let whole = value.as_u64().or(real.map(|n| n as u64));
    let fits = whole.and_then(|n| T::try_from(n).ok());
    let wanted = || D::Error::custom(format!("`{value}` is no whole number in the range"));
    fits.map(Some).ok_or_else(wanted)
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    whole(from)?.ok_or_else(|| D::Error::custom("`null` is no number"))
}

/// How many of a listing: as asked, or a page.
///
/// # Errors
/// 400 where that is none or too many.
pub fn page(limit: Option<u32>) -> Outcome<u32> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=LONGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad("query", format!("`limit` is 1 to {LONGEST_PAGE}")))
}

/// The cursor of the next page: the last one of a page that is full.
pub fn next<T, Id>(found: &[T], limit: u32, id: impl Fn(&T) -> Id) -> Option<Id> {
    found.last().filter(|_| found.len() as u32 == limit).map(id)
}

/// The client's idempotency key.
///
/// # Errors
/// 400 where it cannot be one.
pub fn idempotency_key(headers: &HeaderMap) -> Outcome<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=TAG_CHARS).contains(&key.len()));
    match key {
        Some(key) if headers.get_all("idempotency-key").iter().count() == 1 => Ok(Some(key.into())),
        _ => Err(Problem::bad(
            "idempotency_key",
            format!("Idempotency-Key has 1 to {TAG_CHARS} printable characters"),
        )),
    }
}

/// Seconds of `Prefer: wait=N` (RFC 7240), at most `most`.
pub fn wait_seconds(headers: &HeaderMap, most: u64) -> Option<u64> {
    let prefers = headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok());
    let seconds = prefers.flat_map(|v| v.split([',', ';'])).find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| value.trim().trim_matches('"').parse().ok())?
    });
    seconds.map(|s: u64| s.min(most))
}

/// The media type of a body without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_lowercase()
}

/// A submission's name out of a path.
///
/// # Errors
/// 404: what is no name names nothing.
pub fn submission_id(text: &str) -> Outcome<SubmissionId> {
    text.parse().map_err(|_| Problem::not_found("submission"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use axum::http::StatusCode;

    use super::*;

    fn status(problem: &Problem) -> StatusCode {
        problem.render("", "").status()
    }

    #[test]
    fn a_document_is_taken_whole_or_not_at_all() {
        let meta = Meta::parse(br#"{"surface":"photo","text":"hi","priority":3}"#).unwrap();
        assert_eq!((meta.surface.as_deref(), meta.priority), (Some("photo"), 3));
        for (bytes, code) in [
            (&b"{"[..], 400),
            (b"\xff{}", 400),
            (b"{\"text\":\"\xff\"}", 400),
            (br#"{"surfaec":"photo"}"#, 422),
            (br#"{"text":"a","text":"b"}"#, 422),
            (br#"{"priority":10}"#, 422),
            (br#"{"priority":-1}"#, 422),
            (br#"{"author":""}"#, 422),
            (br#"[]"#, 422),
        ] {
            let problem = Meta::parse(bytes).unwrap_err();
            assert_eq!(status(&problem).as_u16(), code, "{}", String::from_utf8_lossy(bytes));
        }
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(TEXT_CHARS + 1));
        assert_eq!(status(&Meta::parse(long.as_bytes()).unwrap_err()).as_u16(), 422);
    }

    #[test]
    fn a_wish_to_wait_is_read_as_the_standard_says() {
        let read = |value: &str| {
            wait_seconds(
                &HeaderMap::from_iter([(
                    header::HeaderName::from_static("prefer"),
                    value.parse().unwrap(),
                )]),
                30,
            )
        };
        assert_eq!(read("wait=5"), Some(5));
        assert_eq!(read("respond-async, wait=10"), Some(10));
        assert_eq!(read("Wait = \"7\""), Some(7));
        assert_eq!(read("wait=900"), Some(30));
        assert_eq!(read("wait=soon"), None);
        assert_eq!(read("return=minimal"), None);
    }
}
