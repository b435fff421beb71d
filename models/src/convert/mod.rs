//! Foreign model formats → ONNX, byte for byte the same on every machine.
//!
//! Nothing here depends on map order, time or threads, and all arithmetic is IEEE 754 `+ − × ÷ √`, so that manifests
//! can pin the hash of what comes out.

mod face_api;
mod keras;
pub(crate) mod onnx;
mod protobuf;
mod weights;

use crate::manifest::Conversion;

/// Runs a conversion on its source files, given by the names that the manifest uses.
///
/// # Errors
/// One sentence on what does not fit.
pub fn convert(conversion: Conversion, files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    match conversion {
        Conversion::NsfwjsTfjs => keras::convert(files),
        Conversion::FaceApiAge => face_api::convert(files),
    }
}

/// The file called `name`.
fn file<'a>(files: &[(&str, &'a [u8])], name: &str) -> Result<&'a [u8], String> {
    files
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| format!("the source file {name} is missing"))
}
