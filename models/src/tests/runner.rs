//! The runner: answers reach their askers, batches form only under load, and nothing is left waiting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{engine, flat, tiny_file, tiny_manifest};
use crate::{Engine, Manifest, ModelError, Output, Runner, RunnerConfig, Session, Tensor, bench};

fn scores(output: Output) -> Vec<f32> {
    match output {
        Output::Classes(classes) => classes.into_iter().map(|(_, score)| score).collect(),
        other => panic!("classes were expected, not {other:?}"),
    }
}

#[test]
fn every_asker_gets_the_answer_to_its_own_picture() {
    let dir = tempfile::tempdir().unwrap();
    let config = RunnerConfig { runners: 2, queue: 4, ..RunnerConfig::default() };
    let runner = Runner::load(&engine(), &tiny_manifest(), &tiny_file(dir.path()), config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let runner = &runner;
            scope.spawn(move || {
                let tickets: Vec<_> = (0..25u8)
                    .map(|n| [thread * 60 + n, n * 10, 255 - n])
                    // Twice the model's size: the runner resamples.
                    .map(|colour| (colour, runner.submit(flat(8, 8, colour))))
                    .collect();
                for (colour, ticket) in tickets {
                    let powers = colour.map(|value| (f32::from(value) * 0.01).exp());
                    let sum: f32 = powers.iter().sum();
                    for (score, power) in scores(ticket.wait().unwrap()).iter().zip(powers) {
                        assert!((score - power / sum).abs() < 1e-5, "{colour:?}");
                    }
                }
            });
        }
    });
}

/// An engine whose runs wait for a word, and tell the shapes that they were given.
struct Gated {
    entered: Sender<Vec<usize>>,
    go: Receiver<Word>,
    best_batch: usize,
}

#[derive(Clone, Copy)]
enum Word {
    Answer,
    Fail,
    Panic,
}

impl Engine for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn best_batch(&self, _: &Manifest) -> usize {
        self.best_batch
    }

    fn load(&self, _: &Manifest, _: &Path, _: usize) -> Result<Box<dyn Session>, ModelError> {
        let (entered, go) = (self.entered.clone(), self.go.clone());
        Ok(Box::new(Gated { entered, go, best_batch: self.best_batch }))
    }
}

impl Session for Gated {
    fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        self.entered.send(input.shape.clone()).unwrap();
        match self.go.recv_timeout(Duration::from_secs(5)).unwrap() {
            Word::Answer => {
                let batch = input.shape[0];
                Ok(vec![Tensor { shape: vec![batch, 3], data: vec![0.25; batch * 3] }])
            }
            Word::Fail => Err(ModelError::Run { name: "gated".into(), detail: "no".into() }),
            Word::Panic => panic!("on purpose"),
        }
    }
}

fn gated(manifest: &Manifest, max_batch: usize) -> (Runner, Receiver<Vec<usize>>, Sender<Word>) {
    gated_at(manifest, max_batch, usize::MAX)
}

fn gated_at(
    manifest: &Manifest,
    max_batch: usize,
    best_batch: usize,
) -> (Runner, Receiver<Vec<usize>>, Sender<Word>) {
    let (entered, shapes) = unbounded();
    let (words, go) = unbounded();
    let config = RunnerConfig { max_batch, ..RunnerConfig::default() };
    let engine = Gated { entered, go, best_batch };
    let runner = Runner::load(&engine, manifest, Path::new(""), config).unwrap();
    (runner, shapes, words)
}

fn next(shapes: &Receiver<Vec<usize>>) -> Vec<usize> {
    shapes.recv_timeout(Duration::from_secs(5)).unwrap()
}

#[test]
fn a_lone_picture_runs_at_once_and_what_waits_shares_a_batch() {
    let (runner, shapes, words) = gated(&tiny_manifest(), 4);
    let mut tickets = vec![runner.submit(flat(4, 4, [1; 3]))];
    assert_eq!(next(&shapes), [1, 3, 4, 4]);
    tickets.extend((0..6).map(|_| runner.submit(flat(4, 4, [1; 3]))));
    for batch in [4, 2] {
        words.send(Word::Answer).unwrap();
        assert_eq!(next(&shapes), [batch, 3, 4, 4]);
    }
    words.send(Word::Answer).unwrap();
    for ticket in tickets {
        assert_eq!(scores(ticket.wait().unwrap()), [0.25; 3]);
    }
}

#[test]
fn no_batch_is_larger_than_what_the_engine_gains_from() {
    let (runner, shapes, words) = gated_at(&tiny_manifest(), 8, 2);
    let tickets: Vec<_> = (0..5).map(|_| runner.submit(flat(4, 4, [1; 3]))).collect();
    let mut answered = 0;
    while answered < 5 {
        let batch = next(&shapes)[0];
        assert!(batch <= 2, "{batch}");
        words.send(Word::Answer).unwrap();
        answered += batch;
    }
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
}

#[test]
fn on_the_cpu_only_small_pictures_share_a_batch() {
    let mut manifest = tiny_manifest();
    let mut best = |width, height| {
        (manifest.input.width, manifest.input.height) = (width, height);
        engine().best_batch(&manifest)
    };
    assert_eq!([best(640, 640), best(224, 224), best(112, 112)], [1, 1, 4]);
}

#[test]
fn only_pictures_of_one_canvas_share_a_batch() {
    let mut manifest = tiny_manifest();
    manifest.input.shape = crate::manifest::Shape::Within { multiple: 4 };
    (manifest.input.width, manifest.input.height) = (64, 64);
    let (runner, shapes, words) = gated(&manifest, 8);
    let mut tickets = vec![runner.submit(flat(4, 4, [1; 3]))];
    assert_eq!(next(&shapes), [1, 3, 4, 4]);
    for (width, height) in [(5, 8), (16, 4), (8, 7)] {
        tickets.push(runner.submit(flat(width, height, [1; 3])));
    }
    (0..3).for_each(|_| words.send(Word::Answer).unwrap());
    assert_eq!(next(&shapes), [2, 3, 8, 8]);
    assert_eq!(next(&shapes), [1, 3, 4, 16]);
    for ticket in tickets {
        ticket.wait().unwrap();
    }
}

#[test]
fn a_failure_and_a_panic_answer_every_ticket_and_the_runner_goes_on() {
    let (runner, shapes, words) = gated(&tiny_manifest(), 8);
    for (word, want) in [(Word::Fail, "no"), (Word::Panic, "on purpose")] {
        let first = runner.submit(flat(4, 4, [1; 3]));
        next(&shapes);
        let waiting: Vec<_> = (0..3).map(|_| runner.submit(flat(4, 4, [1; 3]))).collect();
        words.send(Word::Answer).unwrap();
        first.wait().unwrap();
        assert_eq!(next(&shapes)[0], 3);
        words.send(word).unwrap();
        for ticket in waiting {
            let error = ticket.wait().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}

#[test]
fn dropping_a_runner_answers_what_is_queued() {
    let (runner, shapes, words) = gated(&tiny_manifest(), 1);
    let tickets: Vec<_> = (0..3).map(|_| runner.submit(flat(4, 4, [1; 3]))).collect();
    next(&shapes);
    (0..3).for_each(|_| words.send(Word::Answer).unwrap());
    drop(runner);
    for ticket in tickets {
        ticket.wait().unwrap();
    }
}

#[test]
fn labels_that_do_not_fit_the_model_are_an_error_and_not_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = tiny_manifest();
    manifest.labels.pop();
    let path = tiny_file(dir.path());
    let runner = Runner::load(&engine(), &manifest, &path, RunnerConfig::default()).unwrap();
    let error = runner.submit(flat(4, 4, [1; 3])).wait().unwrap_err();
    assert!(matches!(error, ModelError::Shape { .. }), "{error}");
}

#[test]
fn a_file_that_is_no_model_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("junk.onnx");
    std::fs::write(&path, "junk").unwrap();
    let error = Runner::load(&engine(), &tiny_manifest(), &path, RunnerConfig::default())
        .err()
        .map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("junk.onnx")), "{error:?}");
}

#[test]
fn the_bench_measures_each_batch_size_that_the_model_takes() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = tiny_manifest();
    let path = tiny_file(dir.path());
    let sizes = |manifest: &Manifest| -> Vec<usize> {
        let report = bench(&engine(), manifest, &path, 1, Duration::ZERO).unwrap();
        assert!(report.rows.iter().all(|row| row.images_per_s > 0.0 && row.p50_ms <= row.p95_ms));
        report.rows.iter().map(|row| row.batch).collect()
    };
    assert_eq!(sizes(&manifest), [1, 2, 4, 8]);
    manifest.input.max_batch = Some(1);
    assert_eq!(sizes(&Arc::new(manifest)), [1]);
}
