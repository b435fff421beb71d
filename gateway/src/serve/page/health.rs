//! Health in one glance: what is wrong, in words, and what to do about it. Pure, so that every case stands in a table.

use std::time::Duration;

use domain::Pace;
use pipeline::sandbox::Level as Fence;
use serde::Serialize;

use super::hour::Summary;
use super::words;
use crate::serve::replication::View;
use crate::serve::sensors::{Room, Zone};

/// Wait of the oldest job beyond which somebody should look.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// Time without the hub beyond which somebody should look.
const LONG_AWAY: Duration = Duration::from_secs(600);

/// Share of the hour's submissions that may fail before somebody should look, and how many it takes to tell.
const MANY_FAILED: f64 = 0.05;
const ENOUGH: u64 = 20;

/// How the box is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    #[default]
    Ok,
    /// It works, and somebody should look.
    Attention,
    /// It takes no new work.
    Stopped,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How bad it is.
    pub level: Level,
    /// Machine-readable.
    pub code: &'static str,
    /// In words.
    pub what: String,
    /// What to do.
    pub todo: &'static str,
}

/// How the box is, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// The worst of the notices.
    pub level: Level,
    /// The worst first; none where all is well.
    pub notices: Vec<Notice>,
}

/// All that health rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The service is ending.
    pub ending: bool,
    /// A technician or the hub has stopped new work.
    pub drained: bool,
    /// The store answers.
    pub store_answers: bool,
    /// The store refuses new work for want of room.
    pub tight: bool,
    /// Jobs that wait, and how many may.
    pub waiting: u64,
    /// As many may wait.
    pub most_waiting: u64,
    /// Wait of the oldest.
    pub oldest: Option<Duration>,
    /// Dead letters.
    pub dead: u64,
    /// Room on the disk, where it can be told.
    pub room: Option<Room>,
    /// Bytes in the spool, and how many may be.
    pub spool: u64,
    /// As many bytes may be in the spool.
    pub most_spool: u64,
    /// The hottest zone.
    pub hottest: Option<&'a Zone>,
    /// What slows the machine down at this moment.
    pub slowed_by: &'a [&'a str],
    /// How fast judging may go.
    pub pace: Pace,
    /// How well decoders are fenced in.
    pub fence: Fence,
    /// Why models run on another engine than the wanted one.
    pub fallback: Option<&'a str>,
    /// What is amiss with the engine although models run.
    pub engine: &'a [String],
    /// Endpoints of webhooks that are not called any more.
    pub gone: &'a [String],
    /// Versions of models that were withdrawn by themselves.
    pub withdrawn: &'a [String],
    /// Versions of models on trial that cannot be used, and why.
    pub left_out: &'a [String],
    /// How the hub is reached; `None` where the box is no hub's.
    pub replication: Option<&'a View>,
    /// What came in the hub's name in the last minute and was not by it, or not for this box.
    pub distrusted: u64,
    /// The last hour.
    pub hour: &'a Summary,
}

/// Tells the health.
pub fn tell(facts: &Facts<'_>) -> Health {
    let mut notices = Vec::new();
    stopped(facts, &mut notices);
    machine(facts, &mut notices);
    work(facts, &mut notices);
    hub(facts, &mut notices);
    // Stable: of equals the first in the order of the code.
    notices.sort_by_key(|n| std::cmp::Reverse(n.level));
    let level = notices.first().map_or(Level::Ok, |n| n.level);
    Health { level, notices }
}

fn stopped(facts: &Facts<'_>, notices: &mut Vec<Notice>) {
    let mut add = |is: bool, code, what: String, todo| {
        if is {
            notices.push(Notice { level: Level::Stopped, code, what, todo });
        }
    };
    add(
        facts.ending,
        "ending",
        "The service is ending.".into(),
        "Wait until it is back. If it does not come back, start it: systemctl start weir.",
    );
    add(
        !facts.store_answers,
        "store",
        "The database does not answer.".into(),
        "Save a support bundle if you can, then restart the service: systemctl restart weir.",
    );
    add(
        facts.drained,
        "drained",
        "Drained by a technician or the hub: new submissions are refused, waiting ones are finished."
            .into(),
        "Press “Resume” below when the work on the box is done.",
    );
    add(
        facts.tight,
        "storage_full",
        "There is no room for new submissions. What was accepted is safe.".into(),
        "Make room on the disk. The box goes on by itself.",
    );
    add(
        facts.spool >= facts.most_spool,
        "spool_full",
        "The spool is full: submissions with media are refused.".into(),
        "Wait until the queue is shorter, or raise limits.spool_bytes.",
    );
    add(
        facts.waiting >= facts.most_waiting,
        "queue_full",
        format!("{} submissions wait; more are refused until some are judged.", facts.waiting),
        "Wait. If it stays so, the box is too small for its load: send some elsewhere.",
    );
    add(
        facts.fence == Fence::None,
        "sandbox",
        "The sandbox for decoding does not start: media cannot be judged.".into(),
        "Run the self-test, save a support bundle and call support.",
    );
}

/// What the machine itself says.
fn machine(facts: &Facts<'_>, notices: &mut Vec<Notice>) {
    let mut add = |is: bool, code, what: String, todo| {
        if is {
            notices.push(Notice { level: Level::Attention, code, what, todo });
        }
    };
    if let Some(zone) = facts.hottest.filter(|z| z.celsius >= z.limit_celsius) {
        add(
            true,
            "hot",
            format!(
                "{} is at {:.0} °C; its limit is {:.0} °C.",
                zone.name, zone.celsius, zone.limit_celsius
            ),
            "Check fan, vents and the air around the box. It slows itself down when hot.",
        );
    }
    add(
        !facts.slowed_by.is_empty(),
        "slowed",
        format!("The machine slows itself down: {}.", facts.slowed_by.join(", ")),
        "Check fan, vents, the air around the box and its power supply.",
    );
    add(
        facts.pace == Pace::Throttled,
        "throttled",
        "The box is too hot: less of each video is looked at where its policy permits that.".into(),
        "Its verdicts say so. It goes back by itself when it has been cooler for a while.",
    );
    if let Some(room) = facts.room.filter(|r| r.total_bytes > 0) {
        let share = 100.0 * room.free_bytes as f64 / room.total_bytes as f64;
        add(
            room.is_little() && !facts.tight,
            "little_room",
            format!("Only {} of the disk is free, {share:.0} %.", words::bytes(room.free_bytes)),
            "Make room on the disk before it is full.",
        );
    }
}

/// What the work says.
fn work(facts: &Facts<'_>, notices: &mut Vec<Notice>) {
    let mut add = |is: bool, code, what: String, todo| {
        if is {
            notices.push(Notice { level: Level::Attention, code, what, todo });
        }
    };
    let oldest = facts.oldest.unwrap_or_default();
    add(
        facts.fallback.is_some(),
        "engine",
        format!("Models run on the CPU, not on the GPU: {}.", facts.fallback.unwrap_or_default()),
        "Run `weir doctor` on the box. After a repair, restart the service: systemctl restart weir.",
    );
    add(
        !facts.engine.is_empty(),
        "plans",
        format!("Plans for the GPU cannot be kept: {}.", facts.engine.join("; ")),
        "Make room on the disk, or let the service's user write in the folder of plans; then weir reload.",
    );
    add(
        oldest > LONG_WAIT,
        "slow",
        format!("The oldest submission has waited {}.", words::span(oldest)),
        "Wait if the load is high. If the queue is short, run the self-test.",
    );
    let tried = facts.hour.decided.iter().sum::<u64>() + facts.hour.given_up;
    let failed = facts.hour.decided[3] + facts.hour.given_up;
    add(
        tried >= ENOUGH && failed as f64 > tried as f64 * MANY_FAILED,
        "failing",
        format!("{failed} of {tried} submissions failed in the last hour."),
        "See the reasons below. If they do not explain it, save a support bundle.",
    );
    add(
        facts.dead > 0,
        "dead_letters",
        match facts.dead {
            1 => "1 submission was given up after three attempts.".into(),
            n => format!("{n} submissions were given up after three attempts."),
        },
        "The platform's staff can look at them and send them again (GET /v1/dead-letters).",
    );
    add(
        !facts.gone.is_empty(),
        "webhook_gone",
        format!("Not called any more, for it said that it is gone: {}.", facts.gone.join(", ")),
        "The platform's staff change its address in the settings, or enable it: weir webhook enable.",
    );
    add(
        !facts.withdrawn.is_empty(),
        "model_withdrawn",
        format!(
            "Withdrawn, for the verdicts were too different or it failed: {}.",
            facts.withdrawn.join(", ")
        ),
        "The version before judges. Tell whoever makes the models; the log has the numbers.",
    );
    add(
        !facts.left_out.is_empty(),
        "model_trial",
        format!("On trial, and cannot be used: {}.", facts.left_out.join("; ")),
        "The active version judges alone. Mend what is named, then weir reload; or withdraw it: weir models rollback.",
    );
}

/// What lies between the box and its hub.
fn hub(facts: &Facts<'_>, notices: &mut Vec<Notice>) {
    let Some(view) = facts.replication else { return };
    let mut add = |is: bool, code, what: String, todo| {
        if is {
            notices.push(Notice { level: Level::Attention, code, what, todo });
        }
    };
    let away = Duration::from_secs(view.away_seconds);
    let waiting = view.critical_lag + view.bulk_lag;
    add(
        view.path.is_none() && away > LONG_AWAY,
        "hub_away",
        format!(
            "The hub was not reached for {}; {waiting} entries wait on this box, none is lost.",
            words::span(away)
        ),
        "Check the uplink: UDP to the hub's port must be open. The box goes on without it.",
    );
    let trouble = view.problem.as_ref().filter(|p| p.code != "unreachable");
    if let Some(trouble) = trouble {
        let todo = match trouble.code {
            "hub_too_old" => "Upgrade the hub.",
            "certificate_expired" => {
                "It renews by itself while the hub's HTTPS port is open. Else enrol the box again: weir enroll."
            }
            "damaged" => "Run `weir store verify`, save a support bundle and call support.",
            _ => "Tell whoever runs the hub. The box goes on without it.",
        };
        add(
            true,
            "hub_refuses",
            format!("Entries do not get to the hub: {}.", trouble.detail),
            todo,
        );
    }
    add(
        facts.distrusted > 0,
        "hub_distrusted",
        match facts.distrusted {
            1 => "An order in the hub's name was passed over in the last minute: it was not by the hub, or not for this box.".into(),
            n => format!("{n} orders in the hub's name were passed over in the last minute: they were not by the hub, or not for this box."),
        },
        "Nothing of it was done. Tell whoever runs the hub; the log says why.",
    );
    add(
        view.forks > 0,
        "fork",
        "The hub knows another journal under this box's name.".into(),
        "Was the disk copied, or an old one put in? If another box runs with the copy, take it away and tell whoever runs the hub.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::page::hour::Hour;
    use crate::serve::replication::Trouble;

    #[test]
    fn every_trouble_is_told_with_the_worst_first() {
        let hour = Hour::default().summary();
        let mut failing = hour.clone();
        failing.decided = [30, 0, 0, 2];
        let cold = Zone { name: "cpu".into(), celsius: 60.0, limit_celsius: 85.0 };
        let hot = Zone { celsius: 85.0, ..cold.clone() };
        let fine = Facts {
            ending: false,
            drained: false,
            store_answers: true,
            tight: false,
            waiting: 3,
            most_waiting: 10,
            oldest: Some(Duration::from_secs(2)),
            dead: 0,
            room: Some(Room { free_bytes: 50, total_bytes: 100 }),
            spool: 1,
            most_spool: 10,
            hottest: Some(&cold),
            slowed_by: &[],
            pace: Pace::Warm,
            fence: Fence::Floor,
            fallback: None,
            engine: &[],
            gone: &[],
            withdrawn: &[],
            left_out: &[],
            replication: None,
            distrusted: 0,
            hour: &hour,
        };
        let told = |facts: Facts<'_>| {
            let health = tell(&facts);
            (health.level, health.notices.iter().map(|n| n.code).collect::<Vec<_>>())
        };
        assert_eq!(told(fine.clone()), (Level::Ok, vec![]));
        let stopped: [(&str, Facts<'_>); 6] = [
            ("ending", Facts { ending: true, ..fine.clone() }),
            ("store", Facts { store_answers: false, ..fine.clone() }),
            ("drained", Facts { drained: true, ..fine.clone() }),
            ("storage_full", Facts { tight: true, ..fine.clone() }),
            ("queue_full", Facts { waiting: 10, ..fine.clone() }),
            ("sandbox", Facts { fence: Fence::None, ..fine.clone() }),
        ];
        for (code, facts) in stopped {
            assert_eq!(told(facts), (Level::Stopped, vec![code]));
        }
        let room = Room { free_bytes: 9, total_bytes: 100 };
        let gone = ["shop/main".to_owned()];
        let near = View {
            path: Some("quic"),
            hub: None,
            critical_lag: 0,
            bulk_lag: 9,
            acknowledged_seconds: None,
            away_seconds: 0,
            rtt_ms: None,
            receipts: 0,
            forks: 0,
            problem: None,
        };
        assert_eq!(told(Facts { replication: Some(&near), ..fine.clone() }), (Level::Ok, vec![]));
        let trouble = |code| Some(Trouble { code, detail: String::new() });
        let lately =
            View { path: None, away_seconds: 500, problem: trouble("unreachable"), ..near.clone() };
        assert_eq!(told(Facts { replication: Some(&lately), ..fine.clone() }), (Level::Ok, vec![]));
        let away = View { away_seconds: 700, ..lately };
        let refused = View { problem: trouble("damaged"), ..near.clone() };
        let forked = View { forks: 1, ..near.clone() };
        let attention: [(&str, Facts<'_>); 16] = [
            ("hub_away", Facts { replication: Some(&away), ..fine.clone() }),
            ("hub_refuses", Facts { replication: Some(&refused), ..fine.clone() }),
            ("hub_distrusted", Facts { distrusted: 2, replication: Some(&near), ..fine.clone() }),
            ("fork", Facts { replication: Some(&forked), ..fine.clone() }),
            ("slowed", Facts { slowed_by: &["over-current 1"], ..fine.clone() }),
            ("throttled", Facts { pace: Pace::Throttled, ..fine.clone() }),
            ("hot", Facts { hottest: Some(&hot), ..fine.clone() }),
            ("little_room", Facts { room: Some(room), ..fine.clone() }),
            ("engine", Facts { fallback: Some("no driver"), ..fine.clone() }),
            ("plans", Facts { engine: &gone, ..fine.clone() }),
            ("slow", Facts { oldest: Some(Duration::from_secs(61)), ..fine.clone() }),
            ("failing", Facts { hour: &failing, ..fine.clone() }),
            ("dead_letters", Facts { dead: 1, ..fine.clone() }),
            ("webhook_gone", Facts { gone: &gone, ..fine.clone() }),
            ("model_withdrawn", Facts { withdrawn: &gone, ..fine.clone() }),
            ("model_trial", Facts { left_out: &gone, ..fine.clone() }),
        ];
        for (code, facts) in attention {
            assert_eq!(told(facts), (Level::Attention, vec![code]));
        }
        let both = Facts { dead: 1, drained: true, ..fine };
        assert_eq!(told(both), (Level::Stopped, vec!["drained", "dead_letters"]));
    }
}
