//! Runs: the same answers as the CPU engine's, shapes, batches, a device that is lost half-way, and what a call costs.

use std::time::{Duration, Instant};

use super::{Bench, TINY, with};
use crate::manifest::{Channels, Input, Layout, Shape};
use crate::preprocess::pack;
use crate::tests::{engine as cpu, flat, tiny_file, tiny_manifest};
use crate::{Engine as _, ModelError, Output, RgbImage, Runner, RunnerConfig, Session, Tensor};

fn classes(output: Output) -> Vec<(String, f32)> {
    match output {
        Output::Classes(classes) => classes,
        other => panic!("classes were expected, not {other:?}"),
    }
}

#[test]
fn the_answers_are_those_of_the_cpu_engine() {
    let bench = Bench::new(TINY);
    let there =
        Runner::load(&bench.engine(), &bench.manifest, &bench.weights(), RunnerConfig::default());
    let (there, dir) = (there.unwrap(), tempfile::tempdir().unwrap());
    let path = tiny_file(dir.path());
    let here = Runner::load(&cpu(), &tiny_manifest(), &path, RunnerConfig::default()).unwrap();
    for n in 0..40u8 {
        let colour = [n * 5, 255 - n, 7 * (n % 30)];
        let ask = |runner: &Runner| classes(runner.submit(flat(9, 5, colour)).wait().unwrap());
        for (a, b) in ask(&here).iter().zip(ask(&there)) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-5, "{colour:?}: {a:?} {b:?}");
        }
    }
}

/// A session whose plan gives back the means of what it was given.
fn means(input: Input, kind: &str) -> (Bench, Box<dyn Session>) {
    let [h, w] = [input.height, input.width].map(i64::from);
    let side = |n: i64| if input.dynamic() { -1 } else { n };
    let model = format!(
        "weir-mock-onnx 1\ninput input {kind} -1 3 {} {}\noutput probs float -1 3\ncompute means\n",
        side(h),
        side(w)
    );
    let mut bench = Bench::new(&model);
    bench.manifest.input = input;
    let session = bench.engine().load(&bench.manifest, &bench.weights(), 1).unwrap();
    (bench, session)
}

fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let bytes =
        (0..width * height * 3).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 21) as u8);
    RgbImage::new(width, height, bytes.collect()).unwrap()
}

#[test]
fn the_kernel_packs_as_the_cpu_does() {
    for (shape, channels) in [
        (Shape::Stretch, Channels::Rgb),
        (Shape::Letterbox, Channels::Bgr),
        (Shape::Within { multiple: 8 }, Channels::Rgb),
    ] {
        let input = Input {
            width: 16,
            height: 24,
            shape,
            channels,
            layout: Layout::Nchw,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            ..tiny_manifest().input
        };
        let (_bench, mut session) = means(input.clone(), "float");
        // What a letterbox leaves free counts as black; the means would tell of any other.
        let (w, h) = if shape == Shape::Stretch { (16, 24) } else { (11, 21) };
        let images = [noise(w, h, 1), noise(w, h, 99)];
        let views: Vec<&RgbImage> = images.iter().collect();
        let got = session.look(&input, &views, &mut Tensor::default()).unwrap();
        let packed = pack(&input, &views);
        let plane = packed.item_len() / 3;
        let means = packed.data.chunks_exact(plane).map(|c| c.iter().sum::<f32>() / plane as f32);
        for (want, got) in means.zip(&got[0].data) {
            assert!((want - got).abs() < 1e-3, "{shape:?}: {want} {got}");
        }
        assert_eq!(got[0].shape, [2, 3]);
        // Values that were packed before take the same way.
        let again = session.run(&packed).unwrap();
        for (a, b) in again[0].data.iter().zip(&got[0].data) {
            assert!((a - b).abs() < 1e-3, "{shape:?}");
        }
    }
}

#[test]
fn a_shape_that_the_plan_does_not_take_is_refused_and_the_next_run_is_fine() {
    let bench = Bench::new(TINY);
    let mut session = bench.engine().load(&bench.manifest, &bench.weights(), 1).unwrap();
    let tensor = |n: usize, side: usize| Tensor {
        shape: vec![n, 3, side, side],
        data: vec![0.5; n * 3 * side * side],
    };
    for (n, side) in [(9, 4), (0, 4), (1, 5)] {
        let error = session.run(&tensor(n, side)).unwrap_err();
        assert!(
            matches!(&error, ModelError::Run { detail, .. } if detail.contains("the plan takes")),
            "{error}"
        );
    }
    let lies = Tensor { shape: vec![1, 3, 4, 4], data: vec![0.5; 7] };
    assert!(matches!(session.run(&lies), Err(ModelError::Run { .. })));
    for n in [1, 8, 3] {
        assert_eq!(session.run(&tensor(n, 4)).unwrap()[0].shape, [n, 3]);
    }
}

#[test]
fn a_plan_without_the_manifests_tensors_is_refused_by_name() {
    let bench = Bench::new(TINY);
    let refusal = |change: &dyn Fn(&mut crate::Manifest)| {
        let mut manifest = bench.manifest.clone();
        change(&mut manifest);
        bench
            .engine()
            .load(&manifest, &bench.weights(), 1)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(refusal(&|m| m.output.names = vec!["scores".into()]).contains("`scores`"));
    assert!(refusal(&|m| m.output.names.clear()).contains("input, probs"));
    let bench = Bench::new(&TINY.replace("output probs float", "output probs int32"));
    let said =
        bench.engine().load(&bench.manifest, &bench.weights(), 1).err().map(|e| e.to_string());
    assert!(said.is_some_and(|said| said.contains("neither 32-bit nor 16-bit")));
}

#[test]
fn a_device_that_is_lost_half_way_answers_every_ticket_and_is_told() {
    let bench = Bench::new(&with("fault lost-after 10"));
    let engine = bench.engine();
    let config = RunnerConfig { runners: 2, ..RunnerConfig::default() };
    let runner = Runner::load(&engine, &bench.manifest, &bench.weights(), config).unwrap();
    let mut lost = 0;
    for n in 0..60u8 {
        match runner.submit(flat(4, 4, [n; 3])).wait() {
            Ok(_) => assert_eq!(lost, 0, "nothing runs on a device that is lost"),
            Err(ModelError::Lost { detail, .. }) => {
                lost += 1;
                assert!(detail.contains("719") || detail.contains("lost before"), "{detail}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(lost >= 40, "{lost}");
    assert!(engine.lost());
}

#[test]
fn a_call_costs_little_besides_what_the_device_computes() {
    let bench = Bench::new(&TINY.replace("softmax-of-means", "nothing"));
    let mut session = bench.engine().load(&bench.manifest, &bench.weights(), 1).unwrap();
    let image = flat(4, 4, [9; 3]);
    let (runs, mut scratch) = (2000, Tensor::default());
    // The quietest of a few rounds: others share the machine.
    let round = |session: &mut Box<dyn Session>, scratch: &mut Tensor| {
        let start = Instant::now();
        for _ in 0..runs {
            session.look(&bench.manifest.input, &[&image], scratch).unwrap();
        }
        start.elapsed() / runs
    };
    let best = (0..5).map(|_| round(&mut session, &mut scratch)).min().unwrap();
    println!("overhead of a call: {:.2} µs", best.as_secs_f64() * 1e6);
    assert!(best < Duration::from_micros(50), "{best:?}");
}

#[test]
fn a_letterbox_may_not_be_larger_than_its_canvas() {
    let input = Input { width: 16, height: 16, shape: Shape::Letterbox, ..tiny_manifest().input };
    let (_bench, mut session) = means(input.clone(), "float");
    // Beyond all room: refused, and nothing is written beyond the staging memory.
    let large = noise(64, 64, 3);
    let views = vec![&large; 8];
    let refused = session.look(&input, &views, &mut Tensor::default());
    assert!(matches!(refused, Err(ModelError::Run { .. })), "{refused:?}");
    // One that merely sticks out is cut, as on the CPU.
    let wide = noise(18, 10, 5);
    let got = session.look(&input, &[&wide], &mut Tensor::default()).unwrap();
    let packed = pack(&input, &[&wide]);
    let means = packed.data.chunks_exact(256).map(|c| c.iter().sum::<f32>() / 256.0);
    for (want, got) in means.zip(&got[0].data) {
        assert!((want - got).abs() < 1e-2, "{want} {got}");
    }
}
