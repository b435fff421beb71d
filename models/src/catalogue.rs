//! All models that are known: the built-in catalogue, and manifests that an operator puts beside the weights.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Manifest, ManifestError, ModelError};

/// The manifests of `models/catalogue/`.
const BUILT_IN: [(&str, &str); 6] = [
    ("face-api-age.toml", include_str!("../catalogue/face-api-age.toml")),
    ("nsfwjs-mobilenet-v2.toml", include_str!("../catalogue/nsfwjs-mobilenet-v2.toml")),
    ("ultraface-rfb-320.toml", include_str!("../catalogue/ultraface-rfb-320.toml")),
    ("ultraface-rfb-640.toml", include_str!("../catalogue/ultraface-rfb-640.toml")),
    ("yunet-n-640.toml", include_str!("../catalogue/yunet-n-640.toml")),
    ("yunet-n.toml", include_str!("../catalogue/yunet-n.toml")),
];

/// Manifests by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    manifests: BTreeMap<String, Manifest>,
}

impl Catalogue {
    /// The built-in catalogue and every `*.toml` directly in `dir`, which need not exist. A manifest there replaces
    /// a built-in one of the same name.
    ///
    /// # Errors
    /// Every manifest that does not hold or cannot be read, with all its problems.
    pub fn load(dir: &Path) -> Result<Self, Vec<ManifestError>> {
        let mut texts: Vec<(String, Result<String, String>)> = BUILT_IN
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Ok((*text).to_owned())))
            .collect();
        for path in manifests_in(dir) {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            texts.push((path.display().to_string(), text));
        }
        let mut catalogue = Self::default();
        let mut errors = Vec::new();
        for (origin, text) in texts {
            let parsed = text
                .map_err(|problem| ManifestError {
                    origin: origin.clone(),
                    problems: vec![problem],
                })
                .and_then(|text| Manifest::parse(&origin, &text));
            match parsed {
                Ok(manifest) => {
                    catalogue.manifests.insert(manifest.name.clone(), manifest);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(catalogue) } else { Err(errors) }
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`ModelError::Unknown`].
    pub fn find(&self, name: &str) -> Result<&Manifest, ModelError> {
        self.manifests.get(name).ok_or_else(|| ModelError::Unknown { name: name.to_owned() })
    }

    /// Puts a model in the place of the one of its name.
    pub fn put(&mut self, manifest: Manifest) {
        self.manifests.insert(manifest.name.clone(), manifest);
    }

    /// All models, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }
}

/// Sorted, so that which of two manifests of one name wins does not depend on the file system.
fn manifests_in(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    paths
}
