//! How hot the box is, and what follows: sensors are read every two seconds, and judging keeps to the pace that comes of it.
//!
//! The pace is taken when an item's turn comes, so that less is looked at before a hot box falls behind and its queue
//! grows. What an item was looked at with, its verdict says.

mod controller;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Pace;

use super::App;
use super::sensors::{self, Readings, Sensors};
use controller::{Controller, Heat};

/// How often sensors are read.
const TICK: Duration = Duration::from_secs(2);

/// Readings between two questions after the power mode, which takes a program.
const MODE_TICKS: u32 = 30;

/// The climate of the box.
#[derive(Debug)]
pub struct Climate {
    root: PathBuf,
    state: Mutex<State>,
    /// Changes to each pace since the start.
    changes: [AtomicU64; Pace::ALL.len()],
}

#[derive(Debug)]
struct State {
    sensors: Sensors,
    controller: Controller,
    readings: Arc<Readings>,
    ticks: u32,
}

impl Climate {
    /// Reads the sensors below `root` for the first time.
    pub fn new(root: PathBuf) -> Self {
        let state = State {
            sensors: Sensors::default(),
            controller: Controller::default(),
            readings: Arc::default(),
            ticks: 0,
        };
        let climate = Self { root, state: Mutex::new(state), changes: Default::default() };
        climate.feel(0);
        climate
    }

    /// How fast judging may go now.
    pub fn pace(&self) -> Pace {
        self.lock().controller.pace()
    }

    /// What the sensors said last.
    pub fn readings(&self) -> Arc<Readings> {
        Arc::clone(&self.lock().readings)
    }

    /// How often each pace was begun since the start.
    pub fn changes(&self) -> [u64; Pace::ALL.len()] {
        self.changes.each_ref().map(|n| n.load(Ordering::Relaxed))
    }

    /// Reads the sensors, `waiting` jobs in the queue. Waits for files and perhaps a program.
    fn feel(&self, waiting: u64) {
        let (mut sensors, ticks, mode) = {
            let mut state = self.lock();
            state.ticks = state.ticks.wrapping_add(1);
            let sensors = std::mem::take(&mut state.sensors);
            (sensors, state.ticks, state.readings.power_mode.clone())
        };
        // Without the lock: who asks for the pace never waits for a driver.
        let mut readings = sensors.read(&self.root);
        readings.power_mode = match ticks % MODE_TICKS {
            1 => sensors::power_mode(&self.root),
            _ => mode,
        };
        let heat = Heat {
            headroom: readings.headroom(),
            slowed: readings.throttles.iter().any(|t| t.active),
            waiting,
        };
        let mut state = self.lock();
        let before = state.controller.pace();
        let now = state.controller.step(Instant::now(), heat);
        if now != before {
            let (slowed_by, headroom) = (readings.slowed_by(), readings.headroom());
            if now > before {
                tracing::warn!(
                    pace = now.name(),
                    ?slowed_by,
                    ?headroom,
                    "the box is hot: less is looked at"
                );
            } else {
                tracing::info!(pace = now.name(), "the box has cooled down");
            }
            let place = Pace::ALL.iter().position(|pace| *pace == now).unwrap_or(0);
            self.changes[place].fetch_add(1, Ordering::Relaxed);
        }
        state.sensors = sensors;
        state.readings = Arc::new(readings);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let app = Arc::clone(&app);
        let felt = tokio::task::spawn_blocking(move || {
            app.climate.feel(app.queued.load(Ordering::Relaxed));
            if let Some(hottest) = app.climate.readings().temperatures.first() {
                app.desk.hour.celsius(hottest.celsius);
            }
        });
        if let Err(error) = felt.await {
            tracing::error!(%error, "the sensors cannot be read");
        }
    }
}
