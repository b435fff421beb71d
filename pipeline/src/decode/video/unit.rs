//! Reads from the first bytes of an access unit what the container does not tell: whether it is a key frame, whether
//! any other frame needs it, whether frames before it in time may follow it in the file.
//!
//! Sources: ITU-T H.264 (7.3.1, 7.4.1), H.265 (7.3.1.2, table 7-1), H.262 (6.2.3), ISO/IEC 14496-2 (6.2.5),
//! RFC 6386 (9.1), VP9 bitstream specification (6.2), the Theora specification (6.1, 7.1).

use gstreamer as gst;

/// How the units of a stream are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// H.264, each NAL unit behind a length of so many bytes, or behind start codes where 0.
    H264(u8),
    /// H.265, likewise.
    H265(u8),
    /// MPEG-1 and MPEG-2.
    Mpeg12,
    /// MPEG-4 part 2.
    Mpeg4,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// Theora.
    Theora,
    /// Not looked into: every unit counts as needed by others.
    Other,
}

/// What one access unit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitType {
    /// Whether it decodes by itself, where the syntax tells; else the container's word counts.
    pub key: Option<bool>,
    /// Whether no other frame of its own temporal layer needs it.
    pub disposable: bool,
    /// Temporal layer, 0 where there are none.
    pub layer: u8,
    /// For a key frame: whether nothing that follows reaches back before it.
    pub closed: bool,
    /// Set-up data without a picture.
    pub header: bool,
    /// A picture that is decoded for others and not shown.
    pub hidden: bool,
}

impl Syntax {
    /// The syntax that the caps of a parsed stream describe.
    pub fn from_caps(caps: &gst::CapsRef) -> Self {
        let Some(s) = caps.structure(0) else { return Self::Other };
        let prefix = |at: usize, formats: &[&str]| {
            let framed = s.get::<&str>("stream-format").is_ok_and(|f| formats.contains(&f));
            let data = s.get::<gst::Buffer>("codec_data").ok();
            let byte = data.and_then(|b| b.map_readable().ok()?.get(at).copied());
            if framed { byte.map_or(4, |b| (b & 3) + 1) } else { 0 }
        };
        match s.name().as_str() {
            "video/x-h264" => Self::H264(prefix(4, &["avc", "avc3"])),
            "video/x-h265" => Self::H265(prefix(21, &["hvc1", "hev1"])),
            "video/x-vp8" => Self::Vp8,
            "video/x-vp9" => Self::Vp9,
            "video/x-theora" => Self::Theora,
            "video/mpeg" => match s.get::<i32>("mpegversion") {
                Ok(1 | 2) => Self::Mpeg12,
                Ok(4) => Self::Mpeg4,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// Looks into one access unit.
    pub fn look(self, data: &[u8]) -> UnitType {
        match self {
            Self::H264(prefix) => nals(data, prefix).find_map(h264).unwrap_or_default(),
            Self::H265(prefix) => nals(data, prefix).find_map(h265).unwrap_or_default(),
            Self::Mpeg12 => nals(data, 0).find_map(mpeg12).unwrap_or_default(),
            Self::Mpeg4 => nals(data, 0).find_map(mpeg4).unwrap_or_default(),
            Self::Vp8 => UnitType {
                key: data.first().map(|b| b & 1 == 0),
                closed: true,
                ..UnitType::default()
            },
            Self::Vp9 => UnitType { closed: true, hidden: vp9_hidden(data), ..UnitType::default() },
            Self::Theora => match data.first() {
                Some(b) if b & 0x80 != 0 => UnitType { header: true, ..UnitType::default() },
                first => UnitType {
                    key: Some(first.is_some_and(|b| b & 0x40 == 0)),
                    closed: true,
                    ..UnitType::default()
                },
            },
            Self::Other => UnitType { closed: true, ..UnitType::default() },
        }
    }
}

fn h264(nal: &[u8]) -> Option<UnitType> {
    let first = *nal.first()?;
    let kind = first & 0x1f;
    (1..=5).contains(&kind).then(|| UnitType {
        disposable: first & 0x60 == 0,
        closed: kind == 5,
        ..UnitType::default()
    })
}

fn h265(nal: &[u8]) -> Option<UnitType> {
    let (first, second) = (*nal.first()?, *nal.get(1)?);
    let kind = (first >> 1) & 0x3f;
    (kind < 32).then(|| UnitType {
        disposable: kind < 16 && kind % 2 == 0,
        layer: (second & 7).saturating_sub(1),
        closed: kind == 20,
        ..UnitType::default()
    })
}

fn mpeg12(section: &[u8]) -> Option<UnitType> {
    if *section.first()? != 0 {
        return None;
    }
    let coding = (*section.get(2)? >> 3) & 7;
    Some(UnitType { disposable: coding == 3, ..UnitType::default() })
}

fn mpeg4(section: &[u8]) -> Option<UnitType> {
    if *section.first()? != 0xb6 {
        return None;
    }
    Some(UnitType { disposable: *section.get(1)? >> 6 == 2, ..UnitType::default() })
}

/// Whether a VP9 unit is one frame that is not shown (bitstream specification, 6.2 and annex B). Of several frames in
/// one unit the last is shown.
fn vp9_hidden(data: &[u8]) -> bool {
    let (Some(first), Some(last)) = (data.first(), data.last()) else { return false };
    let superframe = last & 0xe0 == 0xc0;
    // frame marker (2 bits), profile (2, and a reserved one in profile 3), show existing, frame type, show frame
    let shift = if first & 0x30 == 0x30 { 0 } else { 1 };
    let (existing, shown) = ((first >> shift) & 4 != 0, (first >> shift) & 1 != 0);
    !superframe && !existing && !shown
}

/// The sections of a unit: behind lengths of `prefix` bytes, or behind `00 00 01` where `prefix` is 0.
fn nals(data: &[u8], prefix: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if prefix == 0 {
            let at = rest.windows(3).position(|w| w == [0, 0, 1])?;
            rest = rest.get(at + 3..)?;
            return Some(rest);
        }
        let (length, tail) = rest.split_at_checked(usize::from(prefix))?;
        let length = length.iter().fold(0usize, |n, b| (n << 8) | usize::from(*b));
        // A length that lies ends the walk with what is there.
        let (nal, tail) = tail.split_at(length.min(tail.len()));
        rest = tail;
        Some(nal)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn h264_slices_tell_whether_they_are_needed() {
        // access unit delimiter, SPS, then the slice
        let annex_b =
            |slice: u8| [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 0, 0, 1, slice, 7].to_vec();
        let idr = Syntax::H264(0).look(&annex_b(0x65));
        assert!(idr.closed && !idr.disposable);
        let p = Syntax::H264(0).look(&annex_b(0x41));
        assert!(!p.closed && !p.disposable);
        assert!(Syntax::H264(0).look(&annex_b(0x01)).disposable);
        let avc = [0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 2, 0x01, 7];
        assert!(Syntax::H264(4).look(&avc).disposable);
    }

    #[test]
    fn h265_sub_layer_non_reference_types_are_even_and_below_16() {
        let unit = |kind: u8, tid: u8| [0, 0, 1, kind << 1, tid + 1, 9].to_vec();
        assert!(Syntax::H265(0).look(&unit(0, 0)).disposable); // TRAIL_N
        assert!(!Syntax::H265(0).look(&unit(1, 0)).disposable); // TRAIL_R
        assert!(Syntax::H265(0).look(&unit(8, 1)).disposable); // RASL_N
        assert_eq!(Syntax::H265(0).look(&unit(8, 1)).layer, 1);
        assert!(Syntax::H265(0).look(&unit(20, 0)).closed); // IDR_N_LP
        assert!(!Syntax::H265(0).look(&unit(21, 0)).closed); // CRA_NUT
    }

    #[test]
    fn vp9_alternate_references_are_hidden() {
        assert!(Syntax::Vp9.look(&[0b1000_0100, 0, 0]).hidden); // delta frame, not shown
        assert!(!Syntax::Vp9.look(&[0b1000_0110, 0, 0]).hidden); // delta frame, shown
        assert!(!Syntax::Vp9.look(&[0b1000_1000, 0, 0]).hidden); // shows an existing frame
        assert!(!Syntax::Vp9.look(&[0b1000_0100, 0, 0xc1]).hidden); // the first of several
    }

    #[test]
    fn lengths_that_lie_and_empty_units_are_no_trouble() {
        for syntax in
            [Syntax::H264(4), Syntax::H264(0), Syntax::H265(2), Syntax::Mpeg12, Syntax::Mpeg4]
        {
            for data in [&[][..], &[0], &[0, 0, 1], &[255; 9], &[0, 0, 0, 0, 0, 0, 0, 0]] {
                assert!(!syntax.look(data).closed);
            }
        }
        assert_eq!(nals(&[0, 0, 0, 0, 5], 2).last().unwrap_or_default().len(), 0);
        assert_eq!(nals(&[0, 9, 5], 2).next().unwrap(), [5]);
    }
}
