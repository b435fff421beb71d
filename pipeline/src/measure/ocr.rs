//! Words in pictures, read by Tesseract's library.
//!
//! [`Reader::open`] loads the library and its language data (English: 0.1 to 0.2 s, 30 MB resident); the zygote does
//! it once, before it forks and locks its workers down, and they share the memory. Reading opens no file. The library
//! would start threads for its matrix products, which a locked-down worker may not: the process must have been
//! started with `OMP_THREAD_LIMIT=1`, which is also faster where every core has a worker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Words;
use super::grey::Grey;
use super::tesseract_ffi::{OpenError, Tesseract, c_string};

/// `model` of findings: the library by its ABI, which the major version is.
pub const MODEL: &str = "tesseract@5";
/// Longest side in pixels that is read at once: at 2000 a page of small print is still legible, and the cost bounded.
/// Longer pictures are read in pieces ([`Grey::tiles`]).
pub const WORKING_SIDE: u32 = 2000;
/// Longest that one picture may take. The engine looks at the clock between words only, not while it finds lines.
pub const TIME_LIMIT: Duration = Duration::from_secs(4);
/// Confidence of 100 from which a word counts.
const CONFIDENT: f32 = 60.0;
/// Where Debian's packages put the language data.
pub const DEFAULT_TESSDATA: &str = "/usr/share/tesseract-ocr/5/tessdata";

const LIBRARY: &str = "libtesseract.so.5";
/// `PSM_AUTO`: find columns and lines, do not turn the page.
const PAGE_MODE: i32 = 3;
/// `PSM_SINGLE_BLOCK`: take the picture for one block of lines.
const BLOCK_MODE: i32 = 6;
/// Told to the engine so that it does not guess; between a screen's 96 and a scan's 300.
const RESOLUTION_PPI: i32 = 150;

/// Why words cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcrError {
    /// The library is not there.
    #[error(
        "OCR needs {LIBRARY}, which could not be loaded ({0}): install the package libtesseract5 (Debian 12)"
    )]
    Library(String),
    /// No language was asked for, or one with a name that is none.
    #[error("OCR language {0:?}: use names like \"eng\" or \"fra\"")]
    Name(String),
    /// The data of a language is not there.
    #[error("OCR language {language}: no {}; install the package tesseract-ocr-{}", .file.display(), .language.replace('_', "-"))]
    Language {
        /// The language.
        language: String,
        /// The file that was looked for.
        file: PathBuf,
    },
    /// The library refuses the data.
    #[error("OCR: {LIBRARY} does not accept the data of {languages} in {}; reinstall the tesseract-ocr packages", .tessdata.display())]
    Data {
        /// The languages, joined by `+`.
        languages: String,
        /// The folder.
        tessdata: PathBuf,
    },
    /// The picture took too long.
    #[error("OCR was stopped after {0} ms")]
    TimedOut(u128),
    /// Nobody loaded it.
    #[error("OCR was asked for but not loaded before the worker was locked down")]
    NotLoaded,
}

/// What is wrong with the languages that are asked for, all of it, as far as it can be told without the library.
pub fn problems(languages: &[String], tessdata: &Path) -> Vec<OcrError> {
    let named =
        |l: &String| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let check = |language: &String| {
        let file = tessdata.join(format!("{language}.traineddata"));
        match named(language) {
            false => Some(OcrError::Name(language.clone())),
            true if file.is_file() => None,
            true => Some(OcrError::Language { language: language.clone(), file }),
        }
    };
    languages.iter().filter_map(check).collect()
}

/// A loaded OCR engine.
pub struct Reader {
    engine: Tesseract,
}

impl Reader {
    /// Loads the library and the data of `languages` (Tesseract's names, for example `eng`) from `tessdata`.
    ///
    /// # Errors
    /// A missing library or language, with the package to install.
    pub fn open(languages: &[String], tessdata: &Path) -> Result<Self, OcrError> {
        if let Some(problem) = problems(languages, tessdata).into_iter().next() {
            return Err(problem);
        }
        if languages.is_empty() {
            return Err(OcrError::Name(String::new()));
        }
        let joined = languages.join("+");
        let bad_data =
            || OcrError::Data { languages: joined.clone(), tessdata: tessdata.to_owned() };
        let folder = tessdata.to_str().and_then(c_string).ok_or_else(bad_data)?;
        let names = c_string(&joined).ok_or_else(bad_data)?;
        match Tesseract::open(LIBRARY, &folder, &names) {
            Ok(engine) => Ok(Self { engine }),
            Err(OpenError::Library(e)) => Err(OcrError::Library(e.to_string())),
            Err(OpenError::Init) => Err(bad_data()),
        }
    }

    /// Reads the words of a picture, shrunk to [`WORKING_SIDE`]; and why they may not be all.
    pub fn read(&mut self, grey: &Grey) -> (Words, Option<OcrError>) {
        self.read_as(PAGE_MODE, grey)
    }

    /// The same of a picture that is all lines of text, without pictures or columns.
    pub fn read_block(&mut self, grey: &Grey) -> (Words, Option<OcrError>) {
        self.read_as(BLOCK_MODE, grey)
    }

    fn read_as(&mut self, mode: i32, grey: &Grey) -> (Words, Option<OcrError>) {
        let shrunk = grey.within(WORKING_SIDE);
        let grey = shrunk.as_ref().unwrap_or(grey);
        let size = (grey.width(), grey.height());
        let (read, done) = self.engine.read(grey.data(), size, mode, RESOLUTION_PPI, TIME_LIMIT);
        let mut words = Words::default();
        for word in read {
            words.text.push_str(word.text.trim());
            words.text.push(if word.ends_line { '\n' } else { ' ' });
            let letters = word.text.chars().filter(|c| c.is_alphanumeric()).count();
            words.confident += u32::from(word.confidence >= CONFIDENT && letters >= 2);
        }
        words.text.truncate(words.text.trim_end().len());
        (words, (!done).then_some(OcrError::TimedOut(TIME_LIMIT.as_millis())))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::{DEFAULT_TESSDATA, OcrError, Reader};
    use crate::measure::grey::Grey;
    use crate::measure::testing::{letters, load, paint};

    fn english() -> Reader {
        Reader::open(&["eng".to_owned()], Path::new(DEFAULT_TESSDATA)).unwrap()
    }

    #[test]
    fn block_letters_are_read_and_a_blank_page_is_empty() {
        let mut reader = english();
        let (words, failure) = reader.read(&Grey::of(&letters(640, 120, 5, "HELLO TO THE HOTEL")));
        assert_eq!(
            (words.text.as_str(), words.confident, failure),
            ("HELLO TO THE HOTEL", 4, None)
        );
        let (words, failure) = reader.read(&Grey::of(&paint(640, 120, |_, _| [255; 3])));
        assert_eq!((words.text.as_str(), words.confident, failure), ("", 0, None));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let open = |language: &str, folder: &str| {
            Reader::open(&[language.to_owned()], Path::new(folder)).err().unwrap()
        };
        let missing = open("chi_sim", "/nowhere");
        assert!(matches!(&missing, OcrError::Language { language, .. } if language == "chi_sim"));
        assert!(
            missing.to_string().contains("install the package tesseract-ocr-chi-sim"),
            "{missing}"
        );
        assert_eq!(open("../eng", DEFAULT_TESSDATA), OcrError::Name("../eng".to_owned()));
        let nothing = tempfile::tempdir().unwrap();
        std::fs::write(nothing.path().join("eng.traineddata"), b"not a language").unwrap();
        assert!(matches!(open("eng", nothing.path().to_str().unwrap()), OcrError::Data { .. }));
    }

    #[test]
    fn shared_a_page_is_read() {
        let data = rig::shared!();
        let page = load(&data.join("ocr/pytessera_test.png")).unwrap();
        let (words, failure) = english().read(&Grey::of(&page));
        assert_eq!(failure, None);
        assert!(
            words.text.starts_with("This is a lot of 12 point text to test the\n"),
            "{}",
            words.text
        );
        assert!(words.confident >= 50, "{}", words.confident);
    }
}
