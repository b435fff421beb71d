#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::MediaKind;
use domain::journal::{Actor, Lane, Record, Seq, Sha256, Subject};
use domain::standing::Ladder;
use rig::media::{Clip, encode_mp4, jpeg_size, photo, scene};
use store::{NewMedia, NewSubmission, StoredMedia};
use sync::request::Preview;
use tokio::runtime::Runtime;

use super::*;
use crate::serve::directives::rig::{code, start, tenant};

/// A box that judges nothing: what is handed in waits.
struct Box {
    answers: Answers,
    _runtime: Runtime,
    _stop: tokio::sync::watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Box {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (app, stop) = start(dir.path());
        let runtime = Runtime::new().unwrap();
        let _entered = runtime.enter();
        let answers = Answers::new(app);
        drop(_entered);
        Self { answers, _runtime: runtime, _stop: stop, _dir: dir }
    }

    fn accept(&self, tenant: &TenantId, media: &[(&[u8], MediaKind)]) -> SubmissionId {
        let app = &self.answers.app;
        let stored = |(bytes, kind): &(&[u8], MediaKind)| {
            let blob = uuid::Uuid::now_v7().simple().to_string();
            std::fs::write(app.spool.path(&blob), bytes).unwrap();
            let sha256 = Sha256::of(bytes);
            NewMedia::Stored(StoredMedia { sha256, bytes: bytes.len() as u64, kind: *kind, blob })
        };
        let id = SubmissionId(uuid::Uuid::now_v7());
        let new = NewSubmission {
            id,
            tenant: tenant.clone(),
            actor: Actor::Anonymous,
            surface: code("post"),
            language: None,
            author: None,
            priority: 0,
            critical: false,
            client_tag: None,
            idempotency_key: None,
            request: Sha256::of(id.0.as_bytes()),
            ip: None,
            caption: media.is_empty().then(|| "only a word".to_owned()),
            media: media.iter().map(stored).collect(),
            per_author_hour: None,
            ladder: Ladder::default(),
        };
        app.store.accept(new).wait().unwrap();
        id
    }

    fn preview(
        &self,
        submission: SubmissionId,
        index: u16,
        at_ms: Option<u64>,
    ) -> Result<Answer, Code> {
        self.answers.answer(&Ask::Preview(Preview { submission, index, at_ms }))
    }

    /// What the journal says of the hub's asking.
    fn noted(&self) -> Vec<(Subject, String)> {
        let store = &self.answers.app.store;
        let epoch = store.lanes().unwrap().last().unwrap().epoch;
        let entries = store.entries(epoch, Lane::Bulk, Seq(0), 1000).unwrap();
        let records = entries.iter().map(|entry| Record::decode(&entry.record).unwrap());
        let by_hub = records.filter(|record| record.actor == Actor::Hub);
        let call = |record: Record| match record.body {
            domain::journal::Body::Acted(acted) => (record.subject, acted.call.as_str().to_owned()),
            other => panic!("{other:?}"),
        };
        by_hub.map(call).collect()
    }
}

fn jpeg(answer: &Answer) -> (u16, u16) {
    assert_eq!(answer.content_type, "image/jpeg");
    jpeg_size(&answer.bytes)
}

/// The same file with a block of Exif that names somebody.
fn with_exif(jpeg: &[u8]) -> Vec<u8> {
    let block = [&b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"[..], b"taken by Zuri"].concat();
    let length = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &block, &jpeg[2..]].concat()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_preview_is_small_and_has_nothing_of_the_file_but_pixels() {
    let rig = Box::new();
    let original = with_exif(&scene(1600, 1200, 3).jpeg(90).unwrap());
    assert!(contains(&original, b"Zuri") && contains(&original, b"Exif"));
    let id = rig.accept(&tenant(), &[(&original, MediaKind::Image), (&photo(1), MediaKind::Image)]);
    let answer = rig.preview(id, 0, None).unwrap();
    assert_eq!(jpeg(&answer), (512, 384));
    assert!(!contains(&answer.bytes, b"Zuri") && !contains(&answer.bytes, b"Exif"));
    let noted = (Subject::Submission(id), "hub.preview:0".to_owned());
    assert_eq!(rig.noted(), [noted]);
    assert!(rig.preview(id, 1, None).is_ok());
    assert_eq!(rig.preview(id, 2, None), Err(code("unknown_medium")));
}

#[test]
fn of_a_video_the_frame_nearest_to_the_moment_is_shown() {
    let rig = Box::new();
    let clip = Clip { frames: 40, fps: 10, key_frames: 5 };
    // Dark at first, bright from two seconds on.
    let grey = |n: u32| if n < 20 { 20 } else { 230 };
    let video = encode_mp4(clip, |n| rig::media::Picture::from_fn(640, 360, |_, _| [grey(n); 3]));
    let video = video.unwrap();
    let id = rig.accept(&tenant(), &[(&video, MediaKind::Video)]);
    let light = |at_ms: u64| {
        let answer = rig.preview(id, 0, Some(at_ms)).unwrap();
        assert_eq!(jpeg(&answer), (512, 288));
        let item = pipeline::sandbox::Item::from_reader(&*answer.bytes, answer.bytes.len() as u64);
        let served = rig.answers.served(&tenant()).unwrap();
        let shown = served.engine.inspector().picture(&item.unwrap()).unwrap().unwrap();
        shown.data()[0]
    };
    assert!(light(500) < 60 && light(3_500) > 190, "{} {}", light(500), light(3_500));
    // A few of them where none is named: here there are two that differ, side by side.
    assert_eq!(jpeg(&rig.preview(id, 0, None).unwrap()), (512, 144));
}

#[test]
fn what_cannot_be_shown_is_refused_with_a_word() {
    let rig = Box::new();
    let id = rig.accept(&tenant(), &[(b"\xff\xd8\xff\xe0 no picture", MediaKind::Image)]);
    assert_eq!(rig.preview(id, 0, None), Err(code("unreadable")));
    let unknown = SubmissionId(uuid::Uuid::from_u128(1));
    for ask in [Ask::Findings(unknown), Ask::Text(unknown)] {
        assert_eq!(rig.answers.answer(&ask), Err(code("unknown")), "{ask:?}");
    }
    assert_eq!(rig.preview(unknown, 0, None), Err(code("unknown")));
    // Of a tenant that is not served any more, and of the box's own tests.
    let own = format!("{}self-test-1", crate::serve::OWN);
    for other in ["bank", own.as_str()] {
        let id = rig.accept(&other.parse().unwrap(), &[(&photo(1), MediaKind::Image)]);
        assert_eq!(rig.preview(id, 0, None), Err(code("unknown")), "{other}");
    }
    // The bytes are gone, and no evidence was ever kept.
    let gone = rig.accept(&tenant(), &[(&photo(2), MediaKind::Image)]);
    let app = &rig.answers.app;
    let found = app.store.submission(&tenant(), gone).unwrap();
    std::fs::remove_file(app.spool.path(found.media[0].blob.as_deref().unwrap())).unwrap();
    assert_eq!(rig.preview(gone, 0, None), Err(code("later")), "a disk that lost it");
    assert_eq!(rig.answers.answer(&Ask::Text(gone)), Err(code("gone")), "it never had a caption");
}

#[test]
fn findings_and_text_are_told_and_written_down() {
    let rig = Box::new();
    let id = rig.accept(&tenant(), &[]);
    let text = rig.answers.answer(&Ask::Text(id)).unwrap();
    assert_eq!((text.content_type.as_str(), &*text.bytes), (TEXT, &b"only a word"[..]));
    let findings = rig.answers.answer(&Ask::Findings(id)).unwrap();
    let view: serde_json::Value = serde_json::from_slice(&findings.bytes).unwrap();
    assert_eq!((&view["status"], &view["tenant"]), (&"pending".into(), &"shop".into()));
    assert!(!contains(&findings.bytes, b"only a word"), "the text is asked for by itself");
    let calls: Vec<_> = rig.noted().into_iter().map(|(_, call)| call).collect();
    assert_eq!(calls, ["hub.text", "hub.findings"]);
    let support = rig.answers.answer(&Ask::Support).unwrap();
    let bundle: serde_json::Value = serde_json::from_slice(&support.bytes).unwrap();
    assert_eq!(bundle["format"], "weir-support/1");
    assert!(!contains(&support.bytes, b"shop") && !contains(&support.bytes, b"only a word"));
}
