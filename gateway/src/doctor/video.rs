//! What GStreamer has: its plugins, and a decoder for each codec.

use pipeline::decode::video::chain::{Choice, Codec, Family, choose, choose_by_cores};
use pipeline::decode::video::inventory::Inventory;

use super::{Line, Machine};

/// Without these most of what is uploaded cannot be judged.
const EVERY_DAY: [Codec; 2] = [Codec::H264, Codec::H265];

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    match &machine.codecs {
        Ok(told) => {
            let mut lines = inventory(&told.video, &machine.hardware);
            if let Some(why) = &told.hardware_failed {
                let what = format!("The drivers of decoders in hardware cannot be asked: {why}");
                lines.push(Line::note(what, Some("check the driver, then ask again".to_owned())));
            }
            lines
        }
        Err(_) => vec![Line::missing("cannot be told", "see Pictures above")],
    }
}

fn inventory(inventory: &Inventory, hardware: &[Family]) -> Vec<Line> {
    let Some(version) = &inventory.gstreamer else {
        let why = inventory.problem.as_deref().unwrap_or("no reason is given");
        return vec![Line::missing(
            format!("GStreamer does not start: {why}"),
            "apt install libgstreamer1.0-0 gstreamer1.0-plugins-base",
        )];
    };
    let mut lines = vec![Line::ok(format!("GStreamer {version}"))];
    for plugin in inventory.plugins.iter().filter(|p| p.required && p.problem.is_some()) {
        let why = plugin.problem.as_deref().unwrap_or_default();
        let what = format!("No video at all without the plugin {}: {why}", plugin.name);
        lines.push(Line::missing(what, format!("apt install {}", plugin.package)));
    }
    for codec in Codec::ALL {
        lines.push(by_cores(&choose_by_cores(codec, &inventory.installed)));
        lines.extend(in_hardware(&choose(codec, &inventory.installed), hardware));
    }
    lines
}

/// What decodes a codec in the sandbox, which reaches no device.
fn by_cores(choice: &Choice) -> Line {
    let name = choice.codec.name();
    if let Some(chain) = &choice.chain {
        return Line::ok(format!("{name}: {chain}"));
    }
    let lack = choice.passed_over.first();
    let why = lack.map_or_else(String::new, |p| format!(" ({})", p.lack));
    let packages = lack.map(|p| p.packages.join(" ")).filter(|p| !p.is_empty());
    let todo = packages.map(|packages| format!("apt install {packages}"));
    let what = format!("{name}: nothing decodes it{why}");
    match todo {
        Some(todo) if EVERY_DAY.contains(&choice.codec) => Line::missing(what, todo),
        todo => Line::note(what, todo),
    }
}

/// What the hardware that shows here would decode it by, or what that lacks.
fn in_hardware(choice: &Choice, hardware: &[Family]) -> Vec<Line> {
    let name = choice.codec.name();
    let mut lines = Vec::new();
    for passed in choice.passed_over.iter().filter(|p| hardware.contains(&p.family)) {
        // Nothing can be done about a codec that the hardware has not.
        if !passed.packages.is_empty() {
            let what = format!("{name} on the {}: {}", passed.family.name(), passed.lack);
            lines
                .push(Line::note(what, Some(format!("apt install {}", passed.packages.join(" ")))));
        }
    }
    if let Some(chain) = choice.chain.as_ref().filter(|c| c.family != Family::Software) {
        lines.push(Line::ok(format!("{name} on the {}: {chain}", chain.family.name())));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use pipeline::decode::video::chain::{Installed, Part};
    use pipeline::decode::video::inventory::Plugin;

    use super::super::report::State;
    use super::*;

    fn registry(parts: &[(&str, &[Codec])]) -> Inventory {
        let part = |takes: &&[Codec]| Part { rank: 256, takes: takes.to_vec() };
        let installed = parts.iter().map(|(n, takes)| ((*n).to_owned(), part(takes))).collect();
        Inventory {
            gstreamer: Some("1.20.3".into()),
            installed: Installed(installed),
            ..Inventory::default()
        }
    }

    fn find<'l>(lines: &'l [Line], start: &str) -> &'l Line {
        let found = lines.iter().find(|line| line.what.starts_with(start));
        found.unwrap_or_else(|| panic!("nothing starts with {start}: {lines:#?}"))
    }

    const CORES: [(&str, &[Codec]); 3] = [
        ("avdec_h264", &[Codec::H264]),
        ("avdec_h265", &[Codec::H265]),
        ("videoconvertscale", &[]),
    ];

    #[test]
    fn a_plain_machine_is_told_of_the_codecs_that_it_lacks_and_of_no_hardware() {
        let lines = inventory(&registry(&CORES), &[]);
        assert_eq!(lines[0], Line::ok("GStreamer 1.20.3"));
        assert_eq!(find(&lines, "H.264").what, "H.264: avdec_h264 + videoconvertscale");
        let av1 = find(&lines, "AV1");
        assert_eq!(av1.state, State::Note);
        let todo = "apt install gstreamer1.0-plugins-rs gstreamer1.0-plugins-bad";
        assert_eq!(av1.todo.as_deref(), Some(todo));
        assert!(!lines.iter().any(|line| line.what.contains(" on the ")), "{lines:#?}");
        assert!(lines.iter().all(|line| line.state != State::Missing), "{lines:#?}");
    }

    #[test]
    fn a_jetson_without_its_packages_is_told_of_them_and_one_with_half_of_them_of_the_rest() {
        let bare = inventory(&registry(&CORES), &[Family::Jetson]);
        let lack = find(&bare, "H.264 on the Jetson");
        assert_eq!(lack.what, "H.264 on the Jetson: no nvv4l2decoder");
        assert_eq!(lack.todo.as_deref(), Some("apt install nvidia-l4t-gstreamer"));

        let mut parts = CORES.to_vec();
        parts.push(("nvv4l2decoder", &[Codec::H264]));
        let half = inventory(&registry(&parts), &[Family::Jetson]);
        let what = "H.264 on the Jetson: nvv4l2decoder is there without nvvidconv";
        assert_eq!(find(&half, "H.264 on the Jetson").what, what);
        // The decoder of this board takes no H.265: nothing that one could install.
        assert!(!half.iter().any(|line| line.what.starts_with("H.265 on")), "{half:#?}");

        parts.push(("nvvidconv", &[]));
        let whole = inventory(&registry(&parts), &[Family::Jetson]);
        let line = Line::ok("H.264 on the Jetson: nvv4l2decoder + nvvidconv");
        assert_eq!(find(&whole, "H.264 on the Jetson"), &line);
    }

    #[test]
    fn what_every_video_needs_is_missing_and_not_only_noted() {
        let mut broken = registry(&[("videoconvertscale", &[])]);
        broken.plugins.push(Plugin {
            name: "isomp4".into(),
            package: "gstreamer1.0-plugins-good".into(),
            required: true,
            problem: Some("no such file".into()),
        });
        let lines = inventory(&broken, &[]);
        let plugin = find(&lines, "No video at all");
        assert_eq!(plugin.state, State::Missing);
        assert_eq!(plugin.todo.as_deref(), Some("apt install gstreamer1.0-plugins-good"));
        let h264 = find(&lines, "H.264");
        assert_eq!(h264.state, State::Missing);
        assert_eq!(h264.todo.as_deref(), Some("apt install gstreamer1.0-libav"));
        let none = Inventory { problem: Some("no library".into()), ..Inventory::default() };
        assert_eq!(inventory(&none, &[]).first().unwrap().state, State::Missing);
    }
}
