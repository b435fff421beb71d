//! Temperatures, by thermal zone or, where the kernel knows none, by hardware monitor.

use std::path::Path;

use serde::Serialize;

use super::file::{folders, text};

/// Zones that are read at most.
const ZONES: usize = 32;

/// Degrees Celsius that no machine has: sensors that are switched off report such numbers.
const SENSIBLE: std::ops::RangeInclusive<f64> = -60.0..=200.0;

/// Where heat counts as too much when the zone itself names no limit. Boards slow themselves down from about here on.
const HOT: f64 = 85.0;

/// A thermal zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Zone {
    /// What the kernel calls it, for example `x86_pkg_temp` or `GPU-therm`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f64,
    /// From where on it is too hot.
    pub limit_celsius: f64,
}

/// The temperatures of a machine whose file tree begins at `root`, the hottest first; none where it has no sensor.
pub fn temperatures(root: &Path) -> Vec<Zone> {
    let mut zones: Vec<Zone> = folders(&root.join("sys/class/thermal"), "thermal_zone")
        .iter()
        .filter_map(|d| zone(d))
        .collect();
    if zones.is_empty() {
        zones =
            folders(&root.join("sys/class/hwmon"), "hwmon").iter().flat_map(|d| chip(d)).collect();
    }
    zones.truncate(ZONES);
    zones.sort_by(|a, b| b.celsius.total_cmp(&a.celsius));
    zones
}

fn zone(folder: &Path) -> Option<Zone> {
    let celsius = milli(&folder.join("temp"))?;
    let name = text(&folder.join("type"))?;
    // The first point at which the kernel itself acts: slows down, then switches off.
    let trips = (0..16).filter_map(|n| {
        let kind = text(&folder.join(format!("trip_point_{n}_type")))?;
        let at = milli(&folder.join(format!("trip_point_{n}_temp")))?;
        (["passive", "hot", "critical"].contains(&kind.as_str()) && at > 40.0).then_some(at)
    });
    let limit_celsius = trips.min_by(f64::total_cmp).unwrap_or(HOT);
    Some(Zone { name, celsius, limit_celsius })
}

/// The sensors of a hardware monitor, where the kernel knows no zones.
fn chip(folder: &Path) -> Vec<Zone> {
    let name = text(&folder.join("name")).unwrap_or_else(|| "sensor".to_owned());
    let sensors = (1..=8).filter_map(|n| {
        let celsius = milli(&folder.join(format!("temp{n}_input")))?;
        let label = text(&folder.join(format!("temp{n}_label")));
        let name = label.map_or_else(|| name.clone(), |label| format!("{name} {label}"));
        let limit = milli(&folder.join(format!("temp{n}_max"))).filter(|at| *at > 40.0);
        Some(Zone { name, celsius, limit_celsius: limit.unwrap_or(HOT) })
    });
    sensors.collect()
}

/// Thousandths of a degree.
fn milli(path: &Path) -> Option<f64> {
    let celsius = std::fs::read_to_string(path).ok()?.trim().parse::<f64>().ok()? / 1000.0;
    SENSIBLE.contains(&celsius).then_some(celsius)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn zones_are_told_by_type_the_hottest_first_and_dead_sensors_left_out() {
        let zone = "sys/class/thermal/thermal_zone";
        let root = tree(&[
            (&format!("{zone}0/type"), "CPU-therm\n"),
            (&format!("{zone}0/temp"), "48500\n"),
            (&format!("{zone}0/trip_point_0_type"), "active\n"),
            (&format!("{zone}0/trip_point_0_temp"), "50000\n"),
            (&format!("{zone}0/trip_point_1_type"), "passive\n"),
            (&format!("{zone}0/trip_point_1_temp"), "97000\n"),
            (&format!("{zone}1/type"), "GPU-therm\n"),
            (&format!("{zone}1/temp"), "51250\n"),
            (&format!("{zone}2/type"), "PMIC-Die\n"),
            (&format!("{zone}2/temp"), "-256000\n"),
            (&format!("{zone}3/type"), "broken\n"),
        ]);
        let zones = temperatures(root.path());
        let told: Vec<_> =
            zones.iter().map(|z| (z.name.as_str(), z.celsius, z.limit_celsius)).collect();
        assert_eq!(told, [("GPU-therm", 51.25, HOT), ("CPU-therm", 48.5, 97.0)]);
    }

    #[test]
    fn a_machine_without_zones_is_asked_for_its_monitors_and_one_without_any_says_nothing() {
        let root = tree(&[
            ("sys/class/hwmon/hwmon0/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "61000\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n"),
            ("sys/class/hwmon/hwmon0/temp1_max", "70000\n"),
        ]);
        let zone = Zone { name: "k10temp Tctl".into(), celsius: 61.0, limit_celsius: 70.0 };
        assert_eq!(temperatures(root.path()), [zone]);
        assert_eq!(temperatures(tree(&[]).path()), []);
    }
}
