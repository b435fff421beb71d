//! The engine that runs the models.

use models::CpuEngine;

use super::{Line, Machine};

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    let mut lines = cpu(machine);
    lines.extend(gpu());
    lines
}

/// What a program that was built for it finds of TensorRT; others have nothing to say of it.
#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
fn gpu() -> Vec<Line> {
    use models::Engine as _;
    let engine = match crate::inference::tensorrt() {
        Ok(engine) => engine,
        Err(error) => {
            let remedy =
                "install libnvinfer10 and libnvinfer-bin of the same version (docs/jetson.md)";
            return vec![Line::note(
                format!("{error}. Models run on the CPU"),
                Some(remedy.into()),
            )];
        }
    };
    let place = engine.place();
    let mut lines = vec![Line::ok(format!("TensorRT {} on {}", place.version, place.device))];
    if let Err(error) = engine.plans().writable() {
        let remedy = format!(
            "let the service's user write in {}, or build them there: weir models engines build",
            engine.plans().dir().display()
        );
        lines.push(Line::note(
            format!("plans for the GPU cannot be kept ({error}): each start builds them anew"),
            Some(remedy),
        ));
    }
    lines
}

#[cfg(not(any(feature = "tensorrt", feature = "tensorrt-mock")))]
fn gpu() -> Vec<Line> {
    Vec::new()
}

fn cpu(machine: &Machine) -> Vec<Line> {
    let models = machine.profile.models();
    let name = &machine.profile.name;
    match CpuEngine::new() {
        Ok(_) => vec![Line::ok("ONNX Runtime (CPU)")],
        // A profile without models starts without an engine.
        Err(error) if models.is_empty() => vec![Line::note(
            format!("{error}. The profile {name} runs no model and needs none"),
            None,
        )],
        Err(error) => vec![Line::missing(
            format!("{error}. The profile {name} runs {}", models.join(", ")),
            "make setup, or set WEIR_ONNXRUNTIME to the library",
        )],
    }
}
