//! NVIDIA's cards, by the library of their driver (NVML), which is opened at run time. Jetsons before JetPack 7 have none;
//! sysfs speaks for those.

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock as Kind, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::{Device, error::NvmlError};

use super::clock::Clock;
use super::{Gpu, Readings, Throttle, Zone};

/// Cards that are read at most.
const CARDS: u32 = 8;

/// Where heat counts as too much when the driver names no limit.
const HOT: f64 = 85.0;

/// Why a card runs slower than it could, where that is no wish of somebody's.
/// A card at its power cap does what it is built for.
const SLOWED: [(ThrottleReasons, &str); 3] = [
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "heat (hardware)"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "heat (driver)"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
];

/// The driver's library, once it was asked for.
#[derive(Debug, Default)]
pub(super) struct Cards(Option<Option<Nvml>>);

impl Cards {
    /// Adds what cards tell.
    pub(super) fn read(&mut self, readings: &mut Readings) {
        let library = self.0.get_or_insert_with(|| {
            let opened = Nvml::init();
            opened.inspect_err(|error| tracing::debug!(%error, "no card of NVIDIA's")).ok()
        });
        let Some(library) = library else { return };
        let count = library.device_count().unwrap_or(0).min(CARDS);
        for card in (0..count).filter_map(|n| library.device_by_index(n).ok()) {
            // A card that fell off the bus tells nothing; the others do.
            if let Err(error) = add(&card, readings) {
                tracing::debug!(%error, "a card does not answer");
            }
        }
        readings.temperatures.sort_by(|a, b| b.celsius.total_cmp(&a.celsius));
    }
}

fn add(card: &Device<'_>, readings: &mut Readings) -> Result<(), NvmlError> {
    let name: String = card.name()?.chars().filter(|c| !c.is_control()).take(40).collect();
    let celsius = f64::from(card.temperature(TemperatureSensor::Gpu)?);
    let limit = card.temperature_threshold(TemperatureThreshold::Slowdown).map_or(HOT, f64::from);
    readings.temperatures.push(Zone { name: name.clone(), celsius, limit_celsius: limit });
    let clock = card.clock_info(Kind::Graphics).ok().zip(card.max_clock_info(Kind::Graphics).ok());
    let clock = clock.map(|(now, max)| {
        let (mhz, max_mhz) = (u64::from(now), u64::from(max));
        Clock { mhz, cap_mhz: max_mhz, max_mhz }
    });
    readings.gpus.push(Gpu {
        name: name.clone(),
        load_percent: card.utilization_rates().ok().map(|rates| f64::from(rates.gpu)),
        clock,
        memory_bytes: card.memory_info().ok().map(|memory| (memory.used, memory.total)),
        watts: card.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
    });
    if let Ok(reasons) = card.current_throttle_reasons() {
        readings.throttles.extend(SLOWED.iter().map(|(reason, why)| Throttle {
            name: format!("{name}: {why}"),
            active: reasons.contains(*reason),
        }));
    }
    Ok(())
}
