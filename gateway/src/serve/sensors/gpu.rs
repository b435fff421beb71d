//! Graphics processors by sysfs: that of a Jetson, whose driver tells load and clocks through devfreq.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clock::Clock;
use super::file::{folders, name, number};

/// What a graphics processor is at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    /// What the kernel or the driver calls it.
    pub name: String,
    /// How busy it is, in percent.
    pub load_percent: Option<f64>,
    /// Its clock.
    pub clock: Option<Clock>,
    /// Bytes of its own memory in use, and in all; a board's processor shares the machine's.
    pub memory_bytes: Option<(u64, u64)>,
    /// Watts that it draws.
    pub watts: Option<f64>,
}

/// Devices of devfreq that are graphics processors: `17000000.gpu` (Orin), `17000000.ga10b` (the same, JetPack 5),
/// `17000000.gv11b` (Xavier), `57000000.gpu` (Nano), `fd800000.gpu` and the like elsewhere.
const KINDS: [&str; 5] = ["gpu", "ga10b", "gv11b", "gp10b", "mali"];

/// All that sysfs knows.
pub(super) fn all(root: &Path) -> Vec<Gpu> {
    let devices = folders(&root.join("sys/class/devfreq"), "");
    let ours = devices.iter().filter(|folder| {
        let name = name(folder);
        KINDS.iter().any(|kind| name.split('.').any(|part| part == *kind))
    });
    ours.map(|folder| gpu(root, folder)).collect()
}

fn gpu(root: &Path, folder: &Path) -> Gpu {
    // In Hz.
    let mhz = |file: &str| number(&folder.join(file)).map(|hz| hz / 1_000_000);
    let steps = std::fs::read_to_string(folder.join("available_frequencies")).unwrap_or_default();
    let most = steps.split_whitespace().filter_map(|hz| hz.parse::<u64>().ok()).max();
    let clock = mhz("max_freq").filter(|cap| *cap > 0).map(|cap_mhz| Clock {
        mhz: mhz("cur_freq").unwrap_or(0),
        cap_mhz,
        max_mhz: most.map_or(cap_mhz, |hz| hz / 1_000_000).max(cap_mhz),
    });
    let load = load_files(root, folder).iter().find_map(|file| number(file));
    Gpu {
        name: name(folder),
        // In thousandths.
        load_percent: load.filter(|load| *load <= 1000).map(|load| load as f64 / 10.0),
        clock,
        memory_bytes: None,
        watts: None,
    }
}

/// Where drivers of Tegra put the load: beside the device, and on older kernels under the platform's own name.
fn load_files(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let device = name(folder);
    let mut files = vec![
        folder.join("device/load"),
        root.join("sys/devices/platform").join(&device).join("load"),
        root.join("sys/devices/gpu.0/load"),
        root.join("sys/devices/platform/gpu.0/load"),
    ];
    let buses = folders(&root.join("sys/devices/platform"), "bus@");
    files.extend(buses.iter().map(|bus| bus.join(&device).join("load")));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    const ORIN: &str = "sys/class/devfreq/17000000.gpu";

    #[test]
    fn an_orin_tells_load_and_clock_and_other_devices_of_devfreq_are_passed_over() {
        let root = tree(&[
            (&format!("{ORIN}/cur_freq"), "306000000\n"),
            (&format!("{ORIN}/max_freq"), "612000000\n"),
            (&format!("{ORIN}/available_frequencies"), "306000000 612000000 918000000\n"),
            (&format!("{ORIN}/device/load"), "437\n"),
            ("sys/class/devfreq/15340000.vic/cur_freq", "115200000\n"),
            ("sys/class/devfreq/15340000.vic/max_freq", "729600000\n"),
        ]);
        let clock = Some(Clock { mhz: 306, cap_mhz: 612, max_mhz: 918 });
        let gpu = Gpu {
            name: "17000000.gpu".into(),
            load_percent: Some(43.7),
            clock,
            memory_bytes: None,
            watts: None,
        };
        assert_eq!(all(root.path()), [gpu]);
    }

    #[test]
    fn a_xaviers_load_stands_with_its_platform_and_one_without_load_is_told_all_the_same() {
        let root = tree(&[
            ("sys/class/devfreq/17000000.gv11b/cur_freq", "114750000\n"),
            ("sys/class/devfreq/17000000.gv11b/max_freq", "1377000000\n"),
            ("sys/devices/platform/17000000.gv11b/load", "0\n"),
            ("sys/class/devfreq/fb000000.gpu/max_freq", "800000000\n"),
        ]);
        let told: Vec<_> = all(root.path()).into_iter().map(|g| (g.name, g.load_percent)).collect();
        assert_eq!(
            told,
            [("17000000.gv11b".to_owned(), Some(0.0)), ("fb000000.gpu".to_owned(), None)]
        );
    }
}
