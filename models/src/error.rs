//! Why a model cannot be found, fetched, loaded or run.

use std::path::PathBuf;

/// What went wrong with a model, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Neither the catalogue nor the model directory knows the name.
    #[error("no model is called `{name}`; `weir models list` shows those that are known")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The weights are not in the model directory.
    #[error("the weights of {name} are not at {}; {}", path.display(), remedy(name, *bundled))]
    Missing {
        /// Name of the model.
        name: String,
        /// Whether they came in a bundle.
        bundled: bool,
        /// Where they were looked for.
        path: PathBuf,
    },
    /// The weights are not those that the manifest pins.
    #[error(
        "{} is not what the manifest of {name} pins ({found}); {}{}",
        path.display(),
        if *bundled { "" } else { "remove it and " },
        remedy(name, *bundled)
    )]
    Corrupt {
        /// Name of the model.
        name: String,
        /// Whether it came in a bundle.
        bundled: bool,
        /// The file.
        path: PathBuf,
        /// What was found in its place: size or SHA-256.
        found: String,
    },
    /// A file could not be read or written.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The weights could not be had.
    #[error("{name} could not be fetched: {detail}")]
    Fetch {
        /// Name of the model.
        name: String,
        /// What was tried and what to do.
        detail: String,
    },
    /// The source files could not be converted to ONNX.
    #[error("conversion of {name}: {detail}")]
    Convert {
        /// Name of the model.
        name: String,
        /// What does not fit.
        detail: String,
    },
    /// The inference library is absent or unfit.
    #[error(
        "ONNX Runtime is not usable: {0}; run `make setup`, or name the library in WEIR_ONNXRUNTIME"
    )]
    Engine(String),
    /// TensorRT, or the GPU, is absent or unfit.
    #[error("TensorRT is not usable: {0}")]
    Accelerator(String),
    /// No plan for the GPU could be had.
    #[error("{name} has no plan for this GPU: {detail}")]
    Plan {
        /// Name of the model.
        name: String,
        /// What was tried.
        detail: String,
    },
    /// The device does not answer any more.
    #[error("{name}: the GPU was lost: {detail}; it comes back when the service starts anew")]
    Lost {
        /// Name of the model.
        name: String,
        /// What the driver says.
        detail: String,
    },
    /// The engine refused the model, or failed while running it.
    #[error("{name}: {detail}")]
    Run {
        /// Name of the model.
        name: String,
        /// What the engine said.
        detail: String,
    },
    /// The tensors that came out are not those that the manifest describes.
    #[error("{name} gave an output that its manifest does not describe: {detail}")]
    Shape {
        /// Name of the model.
        name: String,
        /// What differs.
        detail: String,
    },
    /// The runner has ended.
    #[error("the runner of {name} has stopped")]
    Stopped {
        /// Name of the model.
        name: String,
    },
}

/// What brings weights.
fn remedy(name: &str, bundled: bool) -> String {
    if bundled {
        "install its bundle again with `weir models install`".to_owned()
    } else {
        format!("run `weir models fetch {name}`")
    }
}

impl ModelError {
    /// Whether it is about weights that came in a bundle, and cannot be fetched.
    pub fn is_bundled(&self) -> bool {
        matches!(self, Self::Missing { bundled: true, .. } | Self::Corrupt { bundled: true, .. })
    }

    /// Wraps an I/O error with what was tried on which path.
    pub(crate) fn file(what: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File { what, path: path.to_owned(), error: error.to_string() }
    }
}
