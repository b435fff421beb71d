//! The codecs and measurements of the program, behind the few names that the worker uses.

use std::path::Path;

use domain::Format;
use models::{Filter, Fit, Rendition};

use super::{Codecs, Input};
use crate::decode::{DecodeError, Limits, Need, Sink, Tally, still, video};
use crate::measure;
use crate::sandbox::config::{Role, Settings};

pub(super) use crate::measure::analyser::Analyser;
pub(super) use crate::measure::blocks::Signature;
pub(super) use models::resample;

/// What `weir-sandbox` decodes with.
#[derive(Debug, Default)]
pub struct Builtin;

impl Codecs for Builtin {
    /// What is missing costs only the formats that need it: their decoders say so for each item.
    fn preload(&mut self, settings: &Settings) -> Result<(), String> {
        let missing = match settings.role {
            Role::Stills => still::preload(),
            Role::Streams => video::preload().err().into_iter().collect(),
        };
        for error in missing {
            eprintln!("weir-sandbox: {error}");
        }
        let tessdata = settings.tessdata.as_deref();
        let tessdata = tessdata.unwrap_or(Path::new(measure::ocr::DEFAULT_TESSDATA));
        if let Err(error) = measure::analyser::preload(&settings.ocr_languages, tessdata) {
            eprintln!("weir-sandbox: {error}");
        }
        Ok(())
    }

    fn decode(
        &self,
        input: &Input,
        format: Format,
        need: &Need,
        limits: &Limits,
        sink: &mut dyn Sink,
    ) -> Result<Tally, DecodeError> {
        match Role::of(format) {
            Role::Stills => still::decode(input.bytes(), format, need, limits, sink),
            Role::Streams => {
                let file = input.file().try_clone();
                let file = file.map_err(|e| DecodeError::Damaged(format!("its memory: {e}")))?;
                match input.distant() {
                    Some(distant) => video::decode_by(distant, file, format, need, limits, sink),
                    None => video::decode(file, format, need, limits, sink),
                }
            }
        }
    }
}

/// A whole picture of at most this long side.
pub(super) fn within(long_side: u32) -> Rendition {
    let filter = Filter::Triangle;
    Rendition { width: long_side, height: long_side, fit: Fit::Within, filter }
}
