//! Hardware that decodes: whether it shows, and whether this user may open it.

use std::path::{Path, PathBuf};

use pipeline::decode::video::chain::{Family, nodes};
use rustix::fs::Access;

use super::{Line, Machine};

/// The families of hardware, as they are looked for.
const FAMILIES: [Family; 4] = [Family::Jetson, Family::Nvidia, Family::Va, Family::V4l2];

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    let mut lines = Vec::new();
    for family in &machine.hardware {
        lines.extend(family_lines(&machine.root, *family));
    }
    if lines.is_empty() {
        lines.push(Line::ok("none shows here; the cores decode"));
    } else {
        let what =
            "The cores decode video unless decode.hardware = true in the settings of weir serve";
        lines.push(Line::note(what, None));
    }
    lines
}

/// Families of which this machine shows a trace.
pub(super) fn hardware(root: &Path) -> Vec<Family> {
    FAMILIES.into_iter().filter(|family| shows(root, *family)).collect()
}

fn shows(root: &Path, family: Family) -> bool {
    match family {
        // Written by NVIDIA's own packages; a card has none of it.
        Family::Jetson => root.join("etc/nv_tegra_release").exists(),
        // A camera has a node as well: the driver's name tells.
        Family::V4l2 => {
            let names = matching(&root.join("sys/class/video4linux"), "video*");
            let name = |folder: &PathBuf| std::fs::read_to_string(folder.join("name"));
            let mut names = names.iter().filter_map(|folder| name(folder).ok());
            names.any(|name| ["dec", "codec", "hantro", "rkvdec"].iter().any(|w| name.contains(w)))
        }
        _ => {
            let first = nodes(family).first().map_or(&[][..], |(any, _)| any);
            first.iter().any(|name| !find(root, name).is_empty())
        }
    }
}

fn family_lines(root: &Path, family: Family) -> Vec<Line> {
    let name = family.name();
    let mut lines = Vec::new();
    for (any, group) in nodes(family) {
        let found: Vec<PathBuf> = any.iter().flat_map(|name| find(root, name)).collect();
        let open = |path: &&PathBuf| {
            rustix::fs::access(path.as_path(), Access::READ_OK | Access::WRITE_OK).is_ok()
        };
        if found.is_empty() {
            let what = format!("{name}: no /dev/{}", any.join(" or /dev/"));
            lines.push(Line::note(what, Some("install its driver, or load it".to_owned())));
        } else if !found.iter().any(|path| open(&path)) {
            let node = found.first().map_or(String::new(), |p| shown(root, p));
            let todo = match *group {
                "" => format!("let the service's user open {node}"),
                group => format!("usermod -aG {group} USER"),
            };
            lines.push(Line::note(format!("{name}: {node} may not be opened"), Some(todo)));
        }
    }
    if lines.is_empty() {
        lines.push(Line::ok(format!("{name}: there, and may be opened")));
    }
    lines
}

fn shown(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    format!("/{}", below.display())
}

/// Nodes below `/dev` of this name, where a trailing `*` stands for a number.
fn find(root: &Path, name: &str) -> Vec<PathBuf> {
    let path = root.join("dev").join(name);
    match (path.parent(), path.file_name().and_then(|n| n.to_str())) {
        (Some(folder), Some(name)) => matching(folder, name),
        _ => Vec::new(),
    }
}

fn matching(folder: &Path, name: &str) -> Vec<PathBuf> {
    let fits = |entry: &str| match name.strip_suffix('*') {
        Some(start) => entry
            .strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit())),
        None => entry == name,
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.filter(|e| e.file_name().to_str().is_some_and(fits)).map(|e| e.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {

    use super::super::report::State;
    use super::*;
    use crate::tree::tree;

    #[test]
    fn hardware_shows_by_what_its_drivers_leave() {
        let shown = |files: &[(&str, &str)]| hardware(tree(files).path());
        assert_eq!(shown(&[]), []);
        assert_eq!(shown(&[("etc/nv_tegra_release", "# R36\n")]), [Family::Jetson]);
        assert_eq!(shown(&[("dev/nvidia0", ""), ("dev/nvidiactl", "")]), [Family::Nvidia]);
        assert_eq!(shown(&[("dev/nvidiactl", "")]), []);
        assert_eq!(shown(&[("dev/dri/renderD128", "")]), [Family::Va]);
        assert_eq!(shown(&[("dev/dri/card0", "")]), []);
        let camera = ("sys/class/video4linux/video0/name", "USB Camera\n");
        let decoder = ("sys/class/video4linux/video10/name", "bcm2835-codec-decode\n");
        assert_eq!(shown(&[camera]), []);
        assert_eq!(shown(&[camera, decoder]), [Family::V4l2]);
    }

    #[test]
    fn nodes_that_are_not_there_are_named() {
        let root = tree(&[("etc/nv_tegra_release", ""), ("dev/nvmap", "")]);
        let lines = family_lines(root.path(), Family::Jetson);
        let what: Vec<_> = lines.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "Jetson: no /dev/nvhost-ctrl or /dev/nvhost-ctrl-gpu or /dev/nvhost-gpu",
                "Jetson: no /dev/v4l2-nvdec or /dev/nvhost-nvdec"
            ]
        );
        assert!(lines.iter().all(|line| line.state == State::Note));
        let root = tree(&[("dev/dri/renderD128", "")]);
        let lines = family_lines(root.path(), Family::Va);
        assert_eq!(lines, [Line::ok("VA-API: there, and may be opened")]);
    }
}
