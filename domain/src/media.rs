//! What a medium is: kind, container format, and facts a viewer would see.

use serde::{Deserialize, Serialize};

use crate::finding::BBox;

/// The kind of medium, by content and never by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// One picture.
    Image,
    /// A picture with more than one frame (GIF, APNG, animated WebP or AVIF).
    Animation,
    /// Moving pictures.
    Video,
    /// Sound only.
    Audio,
    /// A file with words only.
    Text,
    /// Not told.
    Unknown,
}

/// The container or picture format, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of file formats say it all")]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
    Bmp,
    Tiff,
    Heic,
    Avif,
    Ico,
    Pnm,
    Qoi,
    Mp4,
    Mov,
    Mkv,
    Webm,
    Ts,
    Ps,
    Avi,
    Flv,
    Ivf,
    Ogg,
    Hls,
    Mp3,
    Aac,
    Flac,
    Wav,
    Amr,
    Text,
    Unknown,
}

impl Format {
    /// Whether the format holds pictures that the still decoders read (animations included).
    pub fn is_still(self) -> bool {
        use Format::*;
        matches!(self, Jpeg | Png | Gif | Webp | Bmp | Tiff | Heic | Avif | Ico | Pnm | Qoi)
    }

    /// Whether the format is a container for video or sound that GStreamer reads.
    pub fn is_stream(self) -> bool {
        use Format::*;
        matches!(
            self,
            Mp4 | Mov
                | Mkv
                | Webm
                | Ts
                | Ps
                | Avi
                | Flv
                | Ivf
                | Ogg
                | Hls
                | Mp3
                | Aac
                | Flac
                | Wav
                | Amr
        )
    }
}

/// A face found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Where, in pixels of the upright full-size picture.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// Confidence in 0..=1.
    pub score: f32,
    /// Estimated age in years, where the age detector ran.
    pub age: Option<f32>,
}

/// One medium as it was found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Kind by content.
    pub kind: MediaKind,
    /// Format by content.
    pub format: Format,
    /// Width in pixels as a viewer sees it (EXIF and container rotation applied).
    pub width: Option<u32>,
    /// Height in pixels as a viewer sees it.
    pub height: Option<u32>,
    /// Length in milliseconds, for media with a time line.
    pub duration_ms: Option<u64>,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
    /// 64 hex digits of the PDQ hash; for a video that of the frame with the best quality.
    pub pdq: Option<String>,
    /// PDQ quality 0..=100.
    pub pdq_quality: Option<u8>,
    /// Faces of the picture; for a video those of the frame with most faces.
    pub faces: Vec<Face>,
}
