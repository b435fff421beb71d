//! A bundle: one version of a model in one file, `NAME-VERSION.weirmodel`.
//!
//! A tar of plain files in this order and no others:
//!
//! ```text
//! bundle.toml     format, name, version; file, bytes, sha256 of every member that follows
//! signature       96 bytes: the public key, and its Ed25519 signature over
//!                 "weir model bundle 1" NUL and the bytes of bundle.toml
//! manifest.toml   what the model is (`crate::manifest`)
//! model.onnx      its weights, which the manifest pins
//! golden.toml     what it must answer to each picture, and within which tolerance ([`super::golden`])
//! *.png           the pictures
//! ```
//!
//! A reader takes the first two members, whose sizes are bounded, and verifies the signature before it reads any more;
//! then every member must have the place, name, length and hash that the list says.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use super::raw::{FORMAT, List, Member};
use super::{Golden, LifeError, SigningKey};
use crate::library::{digest, digest_of};
use crate::{CpuEngine, Manifest};

/// The list of members.
pub const LIST: &str = "bundle.toml";
/// The signature over it.
pub const SIGNATURE: &str = "signature";
/// What the model is.
pub const MANIFEST: &str = "manifest.toml";
/// Its weights.
pub const WEIGHTS: &str = "model.onnx";
/// What it must answer.
pub const GOLDEN: &str = "golden.toml";
/// Golden pictures of one bundle at most.
pub const MOST_PICTURES: usize = 64;

/// What a bundle is made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The manifest.
    pub manifest: PathBuf,
    /// The weights, which the manifest pins.
    pub weights: PathBuf,
    /// A folder of golden pictures, PNG. Where it has a `golden.toml`, that says what must be answered; else the CPU of this
    /// machine does.
    pub golden: PathBuf,
}

impl Recipe {
    /// Makes a bundle and signs it; gives its manifest.
    ///
    /// # Errors
    /// What of the recipe does not hold, or what the file system says.
    pub fn make(&self, key: &SigningKey, out: &Path) -> Result<Manifest, LifeError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| LifeError::file("cannot read", path, &error))
        };
        let manifest_text = read(&self.manifest)?;
        let origin = self.manifest.display().to_string();
        let manifest = Manifest::parse(&origin, &String::from_utf8_lossy(&manifest_text))
            .map_err(|error| LifeError::Refused(error.to_string()))?;
        let pin = digest(&self.weights)
            .map_err(|error| LifeError::file("cannot read", &self.weights, &error))?;
        if pin != manifest.pin {
            return Err(LifeError::Refused(format!(
                "{} has {} bytes and SHA-256 {}, and {origin} pins {} and {}",
                self.weights.display(),
                pin.bytes,
                pin.sha256,
                manifest.pin.bytes,
                manifest.pin.sha256
            )));
        }
        let pictures = self.pictures()?;
        let golden = self.golden(&manifest, &pictures)?;
        let mut texts = vec![(MANIFEST.to_owned(), manifest_text)];
        texts.push((GOLDEN.to_owned(), golden.to_toml()?.into_bytes()));
        for (name, path) in &pictures {
            texts.push((name.clone(), read(path)?));
        }
        let weights = Member { file: WEIGHTS.into(), bytes: pin.bytes, sha256: pin.sha256 };
        let mut members: Vec<Member> = texts
            .iter()
            .map(|(file, bytes)| {
                let pin = digest_of(bytes);
                Member { file: file.clone(), bytes: pin.bytes, sha256: pin.sha256 }
            })
            .collect();
        members.insert(1, weights);
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        let list = List { format: FORMAT, name, version, members };
        let text = toml::to_string(&list).map_err(|e| LifeError::Refused(e.to_string()))?;
        // What would not be installed is not made.
        List::parse(text.as_bytes())
            .map_err(|problems| LifeError::Bundle { path: out.to_owned(), problems })?;
        self.write(out, text.as_bytes(), &key.sign(text.as_bytes()), &list, &texts)
            .map_err(|error| LifeError::file("cannot write", out, &error))?;
        Ok(manifest)
    }

    /// Names and paths of the pictures, in the order of their names.
    fn pictures(&self) -> Result<Vec<(String, PathBuf)>, LifeError> {
        let failed = |error| LifeError::file("cannot read the folder", &self.golden, &error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.golden).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "png") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
        found.sort();
        if found.is_empty() {
            let folder = self.golden.display();
            let detail = format!("{folder} has no *.png: a bundle needs a golden picture or more");
            return Err(LifeError::Refused(detail));
        }
        Ok(found)
    }

    fn golden(
        &self,
        manifest: &Manifest,
        pictures: &[(String, PathBuf)],
    ) -> Result<Golden, LifeError> {
        let given = self.golden.join(GOLDEN);
        let engine = CpuEngine::new()?;
        let golden = if given.is_file() {
            Golden::read(&given)?
        } else {
            Golden::of(&engine, manifest, &self.weights, pictures)?
        };
        // Also of what was given: a bundle that its own maker's machine refuses is of no use to anybody.
        golden.compare(&engine, manifest, &self.weights, &self.golden)?;
        Ok(golden)
    }

    fn write(
        &self,
        out: &Path,
        list_text: &[u8],
        signature: &[u8],
        list: &List,
        texts: &[(String, Vec<u8>)],
    ) -> std::io::Result<()> {
        let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
        let mut tar = tar::Builder::new(BufWriter::new(temporary));
        append(&mut tar, LIST, list_text.len() as u64, list_text)?;
        append(&mut tar, SIGNATURE, signature.len() as u64, signature)?;
        for member in &list.members {
            match texts.iter().find(|(name, _)| *name == member.file) {
                Some((name, bytes)) => append(&mut tar, name, member.bytes, bytes.as_slice())?,
                None => {
                    let weights = BufReader::new(File::open(&self.weights)?).take(member.bytes);
                    append(&mut tar, &member.file, member.bytes, weights)?;
                }
            }
        }
        let mut file = tar.into_inner()?;
        file.flush()?;
        let temporary = file.into_inner().map_err(|error| error.into_error())?;
        temporary.as_file().sync_all()?;
        temporary.persist(out).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    }
}

/// The same bytes on every machine: no owner, no time.
fn append<W: std::io::Write, R: Read>(
    tar: &mut tar::Builder<W>,
    name: &str,
    bytes: u64,
    data: R,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_path(name)?;
    header.set_cksum();
    tar.append(&header, data)
}
