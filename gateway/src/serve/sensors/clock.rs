//! Clocks of the processor's cores: what they may run at, and what they could.

use std::path::Path;

use serde::Serialize;

use super::file::{folders, number};

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// At this moment.
    pub mhz: u64,
    /// The most that is allowed: a power mode or the heat may hold it below the hardware's.
    pub cap_mhz: u64,
    /// The most that the hardware can.
    pub max_mhz: u64,
}

impl Clock {
    /// The cap as a share of what the hardware can, in percent.
    pub fn cap_percent(self) -> u64 {
        (self.cap_mhz * 100).checked_div(self.max_mhz).unwrap_or(100).min(100)
    }
}

/// That of the cores whose cap is the lowest share of what they can.
pub(super) fn cpu(root: &Path) -> Option<Clock> {
    let policies = folders(&root.join("sys/devices/system/cpu/cpufreq"), "policy");
    let clocks = policies.iter().filter_map(|folder| {
        // In kHz.
        let mhz = |name: &str| number(&folder.join(name)).map(|khz| khz / 1000);
        let max_mhz = mhz("cpuinfo_max_freq").filter(|max| *max > 0)?;
        let cap_mhz = mhz("scaling_max_freq")?;
        Some(Clock { mhz: mhz("scaling_cur_freq").unwrap_or(0), cap_mhz, max_mhz })
    });
    clocks.min_by_key(|clock| clock.cap_percent())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn the_cores_that_are_held_down_most_speak_for_all() {
        // An Orin NX in a mode of 15 W: two clusters, one of them capped.
        let policy = "sys/devices/system/cpu/cpufreq/policy";
        let root = tree(&[
            (&format!("{policy}0/cpuinfo_max_freq"), "1984000\n"),
            (&format!("{policy}0/scaling_max_freq"), "1984000\n"),
            (&format!("{policy}0/scaling_cur_freq"), "729600\n"),
            (&format!("{policy}4/cpuinfo_max_freq"), "1984000\n"),
            (&format!("{policy}4/scaling_max_freq"), "1420800\n"),
            (&format!("{policy}4/scaling_cur_freq"), "1420800\n"),
            (&format!("{policy}6/scaling_max_freq"), "broken\n"),
        ]);
        let clock = cpu(root.path());
        assert_eq!(clock, Some(Clock { mhz: 1420, cap_mhz: 1420, max_mhz: 1984 }));
        assert_eq!(clock.map(Clock::cap_percent), Some(71));
    }
}
