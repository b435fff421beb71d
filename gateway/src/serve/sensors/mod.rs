//! What the machine says of itself: heat, clocks, load, and whether it slows itself down. Every reader takes the root of the
//! file tree, so that tests bring trees of their own; none writes, and none needs more rights than reading.

mod clock;
mod file;
mod gpu;
#[cfg(feature = "nvml")]
mod nvml;
mod power;
pub mod room;
mod thermal;
mod throttle;

use std::path::Path;

use serde::Serialize;

pub use clock::Clock;
pub use gpu::Gpu;
pub use power::power_mode;
pub use room::{Room, room};
pub use thermal::{Zone, temperatures};
pub use throttle::{Throttle, Throttles};

/// All that sensors say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readings {
    /// The hottest first; none where the machine has no sensor.
    pub temperatures: Vec<Zone>,
    /// Graphics processors: that of a board, and cards.
    pub gpus: Vec<Gpu>,
    /// The clock of the processor's cores, the slowest cap of all; `None` where the kernel does not tell.
    pub cpu: Option<Clock>,
    /// What slows the machine down, or could; only what can be told here.
    pub throttles: Vec<Throttle>,
    /// The power mode of a Jetson, as `nvpmodel` names it.
    pub power_mode: Option<String>,
}

impl Readings {
    /// Names of what slows the machine down at this moment.
    pub fn slowed_by(&self) -> Vec<&str> {
        self.throttles.iter().filter(|t| t.active).map(|t| t.name.as_str()).collect()
    }

    /// Degrees that are left until the first zone is too hot; negative above. `None` without a sensor.
    pub fn headroom(&self) -> Option<f64> {
        let left = self.temperatures.iter().map(|z| z.limit_celsius - z.celsius);
        left.min_by(f64::total_cmp)
    }
}

/// Reads sensors again and again; keeps what it takes to tell change.
#[derive(Debug, Default)]
pub struct Sensors {
    throttles: Throttles,
    #[cfg(feature = "nvml")]
    cards: nvml::Cards,
}

impl Sensors {
    /// Reads all but the power mode, which takes a program.
    pub fn read(&mut self, root: &Path) -> Readings {
        let readings = Readings {
            temperatures: temperatures(root),
            gpus: gpu::all(root),
            cpu: clock::cpu(root),
            throttles: self.throttles.read(root),
            power_mode: None,
        };
        self.with_cards(root, readings)
    }

    /// The driver of cards knows no tree of files but the machine's own.
    #[cfg(feature = "nvml")]
    fn with_cards(&mut self, root: &Path, mut readings: Readings) -> Readings {
        if root == Path::new("/") {
            self.cards.read(&mut readings);
        }
        readings
    }

    /// This build knows of no cards.
    #[cfg(not(feature = "nvml"))]
    fn with_cards(&mut self, _: &Path, readings: Readings) -> Readings {
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn a_machine_that_tells_nothing_is_read_all_the_same() {
        let root = tree(&[]);
        let readings = Sensors::default().read(root.path());
        assert_eq!(readings, Readings::default());
        assert_eq!(readings.headroom(), None);
        assert_eq!(readings.slowed_by(), Vec::<&str>::new());
    }

    #[test]
    fn the_room_for_more_heat_is_that_of_the_zone_nearest_to_its_limit() {
        let zone = |celsius, limit_celsius| Zone { name: "z".into(), celsius, limit_celsius };
        let temperatures = vec![zone(80.0, 99.0), zone(60.0, 70.0)];
        let readings = Readings { temperatures, ..Readings::default() };
        assert_eq!(readings.headroom(), Some(10.0));
    }
}
