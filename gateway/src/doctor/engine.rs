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
fn gpu() -> Option<Line> {
    use models::Engine as _;
    Some(match crate::inference::tensorrt() {
        Ok(engine) => {
            let place = engine.place();
            Line::ok(format!("TensorRT {} on {}", place.version, place.device))
        }
        Err(error) => {
            let remedy =
                "install libnvinfer10 and libnvinfer-bin of the same version (docs/jetson.md)";
            Line::note(format!("{error}. Models run on the CPU"), Some(remedy.into()))
        }
    })
}

#[cfg(not(any(feature = "tensorrt", feature = "tensorrt-mock")))]
fn gpu() -> Option<Line> {
    None
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
