//! Media made out of nothing, the same on every machine, so that tests and samples need no outside data.

mod photo;
mod picture;
mod qr;
mod scene;
mod text;
mod video;

pub use photo::{jpeg_size, photo, scam};
pub use picture::Picture;
pub use qr::qr_code;
pub use scene::{crop, scene};
pub use text::{Line, page};
pub use video::{Clip, encode_mp4};

/// Why a medium could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An encoder refused the pixels.
    #[error("could not encode as {format}: {detail}")]
    Encode {
        /// Name of the file format.
        format: &'static str,
        /// What the encoder said.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("could not use {path}: {source}; `make setup` installs what the samples need")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The font is damaged.
    #[error("{0} is not a font")]
    Font(std::path::PathBuf),
    /// The text does not fit into a QR code.
    #[error("no QR code for {text:?}: {detail}")]
    Qr {
        /// The text.
        text: String,
        /// What the encoder said.
        detail: String,
    },
    /// GStreamer could not encode.
    #[error("could not encode the video: {0}; `make setup` installs the encoder")]
    Video(String),
}
