//! The engine that runs the models.

use models::CpuEngine;

use super::{Line, Machine};

pub(super) fn check(machine: &Machine) -> Vec<Line> {
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
