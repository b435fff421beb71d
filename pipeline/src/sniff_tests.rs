#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn ftyp(major: &[u8], compatible: &[&[u8]]) -> Vec<u8> {
    let size = 16 + 4 * compatible.len() as u32;
    [&size.to_be_bytes()[..], b"ftyp", major, &[0; 4], &compatible.concat()].concat()
}

fn transport(packet: usize, skip: usize) -> Vec<u8> {
    let bytes: Vec<u8> =
        (0..packet * 8).map(|i| if i % packet == 0 { 0x47 } else { 0xee }).collect();
    bytes[skip..].to_vec()
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let adts = [0xff, 0xf1, 0x50, 0x80, 0x00, 0xff, 0xfc];
    let mp3 = [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 413], &[0xff, 0xfb, 0x90, 0x00]].concat();
    let table: Vec<(Vec<u8>, Format)> = vec![
        (b"\xff\xd8\xff\xe0".to_vec(), Format::Jpeg),
        (b"\x89PNG\r\n\x1a\n".to_vec(), Format::Png),
        (b"GIF87a".to_vec(), Format::Gif),
        (b"RIFF\0\0\0\0WEBPVP8 ".to_vec(), Format::Webp),
        (b"RIFF\0\0\0\0WAVEfmt ".to_vec(), Format::Wav),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), Format::Avi),
        (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0".to_vec(), Format::Bmp),
        (b"II\x2a\0".to_vec(), Format::Tiff),
        (b"MM\0\x2b".to_vec(), Format::Tiff),
        (b"\0\0\x01\0\x01\0\x10\x10".to_vec(), Format::Ico),
        (b"P6\n2 2\n255\n".to_vec(), Format::Pnm),
        (b"qoif".to_vec(), Format::Qoi),
        (ftyp(b"heic", &[]), Format::Heic),
        (ftyp(b"mif1", &[b"mif1", b"avif"]), Format::Avif),
        (ftyp(b"mif1", &[b"mif1", b"heic"]), Format::Heic),
        (ftyp(b"msf1", &[b"msf1", b"hevc"]), Format::Heic),
        (ftyp(b"avis", &[]), Format::Avif),
        (ftyp(b"isom", &[b"mp41"]), Format::Mp4),
        (ftyp(b"qt  ", &[]), Format::Mov),
        (b"\0\0\0\x08wide\0\0\0\0mdat".to_vec(), Format::Mov),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm".to_vec(), Format::Webm),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska".to_vec(), Format::Mkv),
        (transport(188, 0), Format::Ts),
        (transport(188, 60), Format::Ts),
        (transport(192, 188), Format::Ts),
        (transport(204, 0), Format::Ts),
        (b"\0\0\x01\xba\x44".to_vec(), Format::Ps),
        (b"FLV\x01\x05".to_vec(), Format::Flv),
        (b"DKIF\0\0".to_vec(), Format::Ivf),
        (b"OggS\0".to_vec(), Format::Ogg),
        (b"fLaC\0".to_vec(), Format::Flac),
        (b"#!AMR\n".to_vec(), Format::Amr),
        (b"#EXTM3U\n".to_vec(), Format::Hls),
        (b"ID3\x04\0\0\0\0\0\0\xff\xfb".to_vec(), Format::Mp3),
        (mp3, Format::Mp3),
        (adts.to_vec(), Format::Aac),
        ("Grüße, 世界\n".as_bytes().to_vec(), Format::Text),
        (b"\0\x01\x02\x03".to_vec(), Format::Unknown),
        (b"words\0and a zero".to_vec(), Format::Unknown),
        (b"<svg/>".to_vec(), Format::Unknown),
        (Vec::new(), Format::Unknown),
    ];
    for (bytes, want) in table {
        assert_eq!(sniff(&bytes), want, "{:?}", bytes.get(..bytes.len().min(24)));
    }
}

#[test]
fn shared_stills_and_videos_are_told_by_content() {
    let data = rig::shared!();
    let mut reader = csv::Reader::from_path(data.join("MANIFEST.csv")).unwrap();
    let (mut right, mut wrong) = (0, Vec::new());
    for record in reader.records() {
        let record = record.unwrap();
        let (path, expected) = (&record[0], &record[8]);
        let field = |key: &str| expected.split_whitespace().find_map(|w| w.strip_prefix(key));
        if field("decodes=") != Some("yes") {
            continue;
        }
        let want: &[Format] = match (field("fmt="), field("container=")) {
            (Some("JPEG" | "MPO"), _) => &[Format::Jpeg],
            (Some("PNG"), _) => &[Format::Png],
            (Some("GIF"), _) => &[Format::Gif],
            (Some("WEBP"), _) => &[Format::Webp],
            (Some("BMP"), _) => &[Format::Bmp],
            (Some("TIFF"), _) => &[Format::Tiff],
            (Some("HEIF"), _) => &[Format::Heic],
            (Some("AVIF"), _) => &[Format::Avif],
            (Some("ICO"), _) => &[Format::Ico],
            (Some("QOI"), _) => &[Format::Qoi],
            (_, Some("mpegts")) => &[Format::Ts],
            (_, Some("mpeg")) => &[Format::Ps],
            (_, Some("avi")) => &[Format::Avi],
            (_, Some("flv")) => &[Format::Flv],
            (_, Some("ivf")) => &[Format::Ivf],
            (_, Some("ogg")) => &[Format::Ogg],
            (_, Some("wav")) => &[Format::Wav],
            (_, Some("flac")) => &[Format::Flac],
            (_, Some("amr")) => &[Format::Amr],
            (_, Some("aac")) => &[Format::Aac],
            (_, Some("mp3")) => &[Format::Mp3],
            (_, Some(c)) if c.starts_with("matroska") => &[Format::Mkv, Format::Webm],
            (_, Some(c)) if c.starts_with("mov,") => &[Format::Mp4, Format::Mov],
            _ => continue,
        };
        let got = sniff(&std::fs::read(data.join(path)).unwrap());
        if want.contains(&got) {
            right += 1;
        } else {
            wrong.push(format!("{path}: {got:?}, not {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {right} right\n{}", wrong.len(), wrong.join("\n"));
    assert!(right > 500, "{right}");
}
