//! Boards and machines as tables.

use super::*;

/// An element of no rank worth naming that decodes these.
fn decodes(name: &str, takes: &[Codec]) -> (String, Part) {
    ranked(name, 256, takes)
}

fn ranked(name: &str, rank: u32, takes: &[Codec]) -> (String, Part) {
    (name.to_owned(), Part { rank, takes: takes.to_vec() })
}

fn helps(name: &str) -> (String, Part) {
    decodes(name, &[])
}

fn registry(parts: impl IntoIterator<Item = (String, Part)>) -> Installed {
    Installed(parts.into_iter().collect())
}

/// What Debian 12 has for the cores.
fn software() -> Vec<(String, Part)> {
    vec![
        decodes("avdec_h264", &[Codec::H264]),
        decodes("avdec_h265", &[Codec::H265]),
        decodes("avdec_vp8", &[Codec::Vp8]),
        decodes("avdec_vp9", &[Codec::Vp9]),
        decodes("vp8dec", &[Codec::Vp8]),
        decodes("vp9dec", &[Codec::Vp9]),
        decodes("av1dec", &[Codec::Av1]),
        decodes("avdec_mpegvideo", &[Codec::Mpeg2]),
        decodes("avdec_mpeg4", &[Codec::Mpeg4]),
        decodes("avdec_mjpeg", &[Codec::Mjpeg]),
        decodes("theoradec", &[Codec::Theora]),
        helps("videoconvertscale"),
    ]
}

/// An Orin with JetPack 6: GStreamer 1.20, so two elements where newer ones have one.
fn jetpack6() -> Vec<(String, Part)> {
    let takes = [Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1, Codec::Mpeg4, Codec::Mpeg2];
    let mut parts = software();
    parts.retain(|(name, _)| name != "videoconvertscale");
    parts.extend([
        ranked("nvv4l2decoder", 267, &takes),
        helps("nvvidconv"),
        helps("videoconvert"),
        helps("videoscale"),
    ]);
    parts
}

fn told(codec: Codec, installed: &Installed) -> String {
    choose(codec, installed).chain.map_or_else(
        || "nothing".to_owned(),
        |chain| format!("{}: {chain} by {:?}", chain.family.name(), chain.memory),
    )
}

fn passed(codec: Codec, installed: &Installed) -> Vec<(Family, String, Vec<String>)> {
    let all = choose(codec, installed).passed_over;
    all.into_iter().map(|p| (p.family, p.lack.to_string(), p.packages)).collect()
}

#[test]
fn a_jetson_decodes_in_hardware_what_its_decoder_takes_and_the_rest_by_cores() {
    let orin = registry(jetpack6());
    for codec in [Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1] {
        assert_eq!(told(codec, &orin), "Jetson: nvv4l2decoder + nvvidconv by Nvmm", "{codec:?}");
    }
    // Orin's hardware has no VP8, and the element says so.
    let by_cores = "software: avdec_vp8 + videoconvert + videoscale by System";
    assert_eq!(told(Codec::Vp8, &orin), by_cores);
    let why = &passed(Codec::Vp8, &orin)[0];
    assert_eq!(why, &(Family::Jetson, "nvv4l2decoder does not take it".to_owned(), vec![]));
    assert_eq!(
        told(Codec::Mjpeg, &orin),
        "software: avdec_mjpeg + videoconvert + videoscale by System"
    );
}

#[test]
fn a_jetson_without_its_converter_decodes_by_cores_and_says_what_to_install() {
    let mut parts = jetpack6();
    parts.retain(|(name, _)| name != "nvvidconv");
    let broken = registry(parts);
    let by_cores = "software: avdec_h264 + videoconvert + videoscale by System";
    assert_eq!(told(Codec::H264, &broken), by_cores);
    let lack = "nvv4l2decoder is there without nvvidconv".to_owned();
    let package = vec!["nvidia-l4t-gstreamer".to_owned()];
    assert_eq!(passed(Codec::H264, &broken)[0], (Family::Jetson, lack, package));
}

#[test]
fn a_card_takes_the_one_scaler_where_there_is_one_and_two_elements_where_not() {
    let mut parts = software();
    parts.extend([decodes("nvh264dec", &[Codec::H264]), helps("cudadownload")]);
    let bare = registry(parts.clone());
    assert_eq!(told(Codec::H264, &bare), "software: avdec_h264 + videoconvertscale by System");
    let lack = "nvh264dec is there without cudaconvertscale".to_owned();
    let package = vec!["gstreamer1.0-plugins-bad".to_owned()];
    assert_eq!(passed(Codec::H264, &bare)[1], (Family::Nvidia, lack, package));

    parts.extend([helps("cudaconvert"), helps("cudascale")]);
    assert_eq!(
        told(Codec::H264, &registry(parts.clone())),
        "NVIDIA card: nvh264dec + cudaconvert + cudascale + cudadownload by Cuda"
    );
    parts.push(helps("cudaconvertscale"));
    assert_eq!(
        told(Codec::H264, &registry(parts)),
        "NVIDIA card: nvh264dec + cudaconvertscale + cudadownload by Cuda"
    );
}

#[test]
fn of_two_decoders_of_a_family_the_higher_rank_is_taken_and_of_equals_the_first() {
    let card = |first: u32, second: u32| {
        let mut parts = software();
        parts.extend([
            ranked("nvh264dec", first, &[Codec::H264]),
            ranked("nvh264sldec", second, &[Codec::H264]),
            helps("cudaconvertscale"),
            helps("cudadownload"),
        ]);
        choose(Codec::H264, &registry(parts)).chain.map(|c| c.decoder)
    };
    assert_eq!(card(256, 257).as_deref(), Some("nvh264sldec"));
    assert_eq!(card(256, 256).as_deref(), Some("nvh264dec"));
}

#[test]
fn intel_scales_on_its_surfaces_and_without_that_by_cores() {
    let mut parts = software();
    parts.push(decodes("vah265dec", &[Codec::H265]));
    let plain = registry(parts.clone());
    assert_eq!(told(Codec::H265, &plain), "VA-API: vah265dec + videoconvertscale by System");
    parts.push(helps("vapostproc"));
    let whole = registry(parts);
    assert_eq!(told(Codec::H265, &whole), "VA-API: vah265dec + vapostproc by Va");
    // Nothing was wrong with the families before it: they are not here.
    let before = passed(Codec::H265, &whole);
    assert_eq!(before[0].1, "no nvv4l2decoder");
    assert_eq!(before[1].1, "no nvh265dec or nvh265sldec");
}

#[test]
fn a_raspberry_takes_stateful_and_stateless_decoders_of_the_kernel() {
    let mut parts = software();
    parts
        .extend([decodes("v4l2h264dec", &[Codec::H264]), decodes("v4l2slh265dec", &[Codec::H265])]);
    let raspberry = registry(parts);
    assert_eq!(told(Codec::H264, &raspberry), "V4L2: v4l2h264dec + videoconvertscale by System");
    assert_eq!(told(Codec::H265, &raspberry), "V4L2: v4l2slh265dec + videoconvertscale by System");
    assert_eq!(told(Codec::Vp9, &raspberry), "software: avdec_vp9 + videoconvertscale by System");
}

#[test]
fn the_cores_decode_everything_where_there_is_nothing_else() {
    let plain = registry(software());
    for codec in Codec::ALL {
        let chain = choose(codec, &plain).chain;
        assert_eq!(chain.map(|c| c.family), Some(Family::Software), "{codec:?}");
    }
    assert_eq!(told(Codec::Vp8, &plain), "software: avdec_vp8 + videoconvertscale by System");
}

#[test]
fn what_nothing_decodes_is_told_with_all_that_would() {
    let mut parts = software();
    parts.retain(|(name, _)| !name.starts_with("avdec_"));
    let bare = registry(parts);
    let choice = choose(Codec::H265, &bare);
    assert_eq!(choice.chain, None);
    let last = choice.passed_over.last().map(|p| (p.family, p.packages.clone()));
    assert_eq!(last, Some((Family::Software, vec!["gstreamer1.0-libav".to_owned()])));

    // A decoder alone is no chain either.
    let alone = registry([decodes("avdec_h264", &[Codec::H264])]);
    let choice = choose(Codec::H264, &alone);
    assert_eq!(choice.chain, None);
    let lack = choice.passed_over.last().map(|p| p.lack.to_string());
    assert_eq!(lack.as_deref(), Some("avdec_h264 is there without videoconvertscale"));
}

#[test]
fn every_element_that_software_routes_name_may_be_loaded_by_a_worker() {
    for codec in Codec::ALL {
        let route = ROUTES.iter().find(|r| r.family == Family::Software);
        for name in route.map_or(&[][..], |r| r.decoders(codec)) {
            assert!(SOFTWARE.iter().any(|names| names.contains(name)), "{name}");
        }
    }
}
