//! Whether the machine slows itself down, as far as the kernel tells: cooling devices that hold clocks down, counters of
//! such events, and the flags of a Raspberry Pi's firmware.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::file::{folders, name, number, text};

/// Something that can slow the machine down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Throttle {
    /// What the kernel calls it, or what it means.
    pub name: String,
    /// Whether it does at this moment, or has since the reading before.
    pub active: bool,
}

/// Cooling devices that hold clocks down, by the start of their type. Fans, displays and radios cool as well, and slow
/// nothing that matters here; others (`TCC Offset`) are settings.
const COOLING: [&str; 12] = [
    "cpufreq-",
    "thermal-cpufreq",
    "devfreq-",
    "thermal-devfreq",
    "Processor",
    "intel_powerclamp",
    // Of Jetsons: what userspace is told of when the hardware throttles, JetPack 4 to 6.
    "cpu-throttle",
    "gpu-throttle",
    "cv0-throttle",
    "cv1-throttle",
    "cv2-throttle",
    "soc0-throttle",
];

/// Firmware flags of a Raspberry Pi, by bit: what is the case now. The bits from 16 on say what ever was.
const PI: [(u32, &str); 4] = [
    (0, "under-voltage"),
    (1, "frequency capped"),
    (2, "throttled by firmware"),
    (3, "soft temperature limit"),
];

/// Reads throttles; keeps counters, of which only growth tells.
#[derive(Debug, Default)]
pub struct Throttles {
    counted: Option<BTreeMap<String, u64>>,
}

impl Throttles {
    /// What can be told at this moment.
    pub fn read(&mut self, root: &Path) -> Vec<Throttle> {
        let mut all = cooling(root);
        let counted = counters(root);
        let before = self.counted.replace(counted.clone());
        // A counter that appears has not grown: on the first reading nothing has.
        let grew = |name: &String, now: u64| {
            before.as_ref().and_then(|b| b.get(name)).is_some_and(|then| now > *then)
        };
        all.extend(
            counted.iter().map(|(name, n)| Throttle { name: name.clone(), active: grew(name, *n) }),
        );
        all.extend(raspberry(root));
        all
    }
}

/// Cooling devices, those of one type together.
fn cooling(root: &Path) -> Vec<Throttle> {
    let mut active: BTreeMap<String, bool> = BTreeMap::new();
    for folder in folders(&root.join("sys/class/thermal"), "cooling_device") {
        let Some(kind) = text(&folder.join("type")) else { continue };
        if COOLING.iter().any(|start| kind.starts_with(start)) {
            // Idle injection says −1 while it is off.
            let state = number(&folder.join("cur_state")).unwrap_or(0);
            *active.entry(kind).or_default() |= state > 0;
        }
    }
    active.into_iter().map(|(name, active)| Throttle { name, active }).collect()
}

/// Counters of events: over-current on Jetsons (`oc1_event_cnt`), heat on Intel's processors.
fn counters(root: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for folder in folders(&root.join("sys/class/hwmon"), "hwmon") {
        for n in 1..=4 {
            if let Some(count) = number(&folder.join(format!("oc{n}_event_cnt"))) {
                found.insert(format!("over-current {n}"), count);
            }
        }
    }
    for folder in folders(&root.join("sys/devices/system/cpu"), "cpu") {
        let count = number(&folder.join("thermal_throttle/package_throttle_count"));
        if let Some(count) = count.filter(|_| name(&folder).len() > 3) {
            // Each core of a package tells the same number, or nearly.
            let most: &mut u64 = found.entry("package heat".to_owned()).or_default();
            *most = (*most).max(count);
        }
    }
    found
}

/// The flags of a Raspberry Pi's firmware.
fn raspberry(root: &Path) -> Vec<Throttle> {
    let file = "sys/devices/platform/soc/soc:firmware/get_throttled";
    let Some(word) = text(&root.join(file)) else { return Vec::new() };
    let digits = word.strip_prefix("0x").unwrap_or(&word);
    let Ok(flags) = u32::from_str_radix(digits, 16) else { return Vec::new() };
    let told = |(bit, name): &(u32, &str)| Throttle {
        name: (*name).to_owned(),
        active: flags >> bit & 1 == 1,
    };
    PI.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;
    use crate::tree::tree;

    fn active(throttles: &[Throttle]) -> Vec<&str> {
        throttles.iter().filter(|t| t.active).map(|t| t.name.as_str()).collect()
    }

    #[test]
    fn clocks_that_are_held_down_count_and_fans_do_not() {
        let device = "sys/class/thermal/cooling_device";
        let root = tree(&[
            (&format!("{device}0/type"), "pwm-fan\n"),
            (&format!("{device}0/cur_state"), "3\n"),
            (&format!("{device}1/type"), "cpufreq-cpu0\n"),
            (&format!("{device}1/cur_state"), "0\n"),
            (&format!("{device}2/type"), "gpu-throttle-alert\n"),
            (&format!("{device}2/cur_state"), "1\n"),
            (&format!("{device}3/type"), "intel_powerclamp\n"),
            (&format!("{device}3/cur_state"), "-1\n"),
            (&format!("{device}4/type"), "TCC Offset\n"),
            (&format!("{device}4/cur_state"), "5\n"),
            (&format!("{device}5/type"), "Processor\n"),
            (&format!("{device}5/cur_state"), "0\n"),
            (&format!("{device}6/type"), "Processor\n"),
            (&format!("{device}6/cur_state"), "2\n"),
        ]);
        let told = Throttles::default().read(root.path());
        assert_eq!(active(&told), ["Processor", "gpu-throttle-alert"]);
        assert_eq!(told.len(), 4, "{told:?}");
    }

    #[test]
    fn a_counter_tells_by_growing_and_not_by_what_it_grew_to_before_the_start() {
        let orin = "sys/class/hwmon/hwmon2/oc3_event_cnt";
        let intel = "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count";
        let root = tree(&[(orin, "7\n"), (intel, "41\n")]);
        let mut throttles = Throttles::default();
        assert_eq!(active(&throttles.read(root.path())), Vec::<&str>::new());
        std::fs::write(root.path().join(orin), "8\n").unwrap();
        assert_eq!(active(&throttles.read(root.path())), ["over-current 3"]);
        std::fs::write(root.path().join(intel), "42\n").unwrap();
        assert_eq!(active(&throttles.read(root.path())), ["package heat"]);
        assert_eq!(active(&throttles.read(root.path())), Vec::<&str>::new());
    }

    #[test]
    fn a_raspberrys_flags_of_now_count_and_those_of_the_past_do_not() {
        let file = "sys/devices/platform/soc/soc:firmware/get_throttled";
        let told = |word: &str| {
            let told = Throttles::default().read(tree(&[(file, word)]).path());
            active(&told).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(told("50000\n"), Vec::<String>::new());
        assert_eq!(told("0x50005\n"), ["under-voltage", "throttled by firmware"]);
        assert_eq!(told("nonsense\n"), Vec::<String>::new());
    }
}
