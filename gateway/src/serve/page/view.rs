//! The page's reading part: the state of the box in HTML.

use std::fmt::Write as _;
use std::time::Duration;

use domain::{Pace, Severity, Status as Verdict};
use pipeline::sandbox::Level as Fence;

use super::chart;
use super::health::Level;
use super::hour::Summary;
use super::html::Text;
use super::status::Status;
use super::verdicts::Seen;
use super::words;

/// Classes of the stacked bars, the lowest first, and where each status is counted.
const PARTS: [(&str, usize); 4] = [("approved", 0), ("held", 2), ("rejected", 1), ("failed", 3)];

/// A line of the chart of times rises to the top at this many milliseconds at least, so that a quiet box shows no mountains.
const LEAST_TOP_MS: f64 = 10.0;

/// All that changes by itself. Holds nothing that can be focused, so that it can be replaced under a reader's hands.
pub fn live(status: &Status) -> String {
    let mut html = String::new();
    health(&mut html, status);
    now(&mut html, status);
    hour(&mut html, &status.hour);
    verdicts(&mut html, status);
    versions(&mut html, status);
    html
}

/// The headline of the state: a word for each level.
pub fn headline(level: Level) -> &'static str {
    match level {
        Level::Ok => "All is well",
        Level::Attention => "Needs attention",
        Level::Stopped => "Stopped: takes no new work",
    }
}

/// The class of a level.
fn class(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Attention => "attention",
        Level::Stopped => "stopped",
    }
}

fn health(html: &mut String, status: &Status) {
    let level = status.health.level;
    let mark = match level {
        Level::Ok => "✓",
        Level::Attention => "!",
        Level::Stopped => "■",
    };
    let _ = write!(
        html,
        "<section id=\"health\" class=\"health {}\" aria-labelledby=\"headline\">\
         <p class=\"headline\"><span class=\"mark\" aria-hidden=\"true\">{mark}</span> \
         <strong id=\"headline\" data-level=\"{}\">{}</strong></p>",
        class(level),
        class(level),
        headline(level),
    );
    if status.health.notices.is_empty() {
        html.push_str("<p>The box takes submissions and judges them.</p>");
    } else {
        html.push_str("<ul>");
        for notice in &status.health.notices {
            let _ = write!(
                html,
                "<li class=\"{}\" data-code=\"{}\">{} <span class=\"todo\">{}</span></li>",
                class(notice.level),
                notice.code,
                Text(&notice.what),
                Text(notice.todo)
            );
        }
        html.push_str("</ul>");
    }
    let at = status.at.as_str().and_then(|at| at.get(11..19)).unwrap_or("–");
    let _ = write!(html, "<p class=\"at\">As of {at} UTC</p></section>");
}

fn tile(html: &mut String, id: &str, name: &str, value: &str, more: &str) {
    let _ = write!(
        html,
        "<div class=\"tile\" id=\"{id}\"><dt>{name}</dt><dd><span class=\"value\">{}</span>",
        Text(value)
    );
    if !more.is_empty() {
        let _ = write!(html, " <span class=\"more\">{}</span>", Text(more));
    }
    html.push_str("</dd></div>");
}

fn now(html: &mut String, status: &Status) {
    let queue = &status.queue;
    html.push_str("<section aria-labelledby=\"now\"><h2 id=\"now\">Now</h2><dl class=\"tiles\">");
    let oldest = match queue.waiting {
        0 => "nothing waits".to_owned(),
        _ => format!("oldest {}", words::span(Duration::from_secs(queue.oldest_seconds))),
    };
    tile(html, "queue", "Queue", &queue.waiting.to_string(), &oldest);
    let workers = format!("of {}", status.workers);
    tile(html, "workers", "Workers busy", &queue.in_hand.to_string(), &workers);
    tile(html, "dead-letters", "Given up", &queue.dead_letters.to_string(), "after three attempts");
    match status.temperatures.first() {
        Some(zone) => {
            let value = format!("{:.0} °C", zone.celsius);
            tile(html, "temperature", "Temperature", &value, &zone.name);
        }
        None => tile(html, "temperature", "Temperature", "–", "no sensor here"),
    }
    heat(html, status);
    match status.disk {
        Some(room) => {
            let more = format!("of {}", words::bytes(room.total_bytes));
            tile(html, "disk", "Disk free", &words::bytes(room.free_bytes), &more);
        }
        None => tile(html, "disk", "Disk free", "–", "cannot be told"),
    }
    let more = format!("of {}", words::bytes(status.spool_limit_bytes));
    tile(html, "spool", "Spool", &words::bytes(status.spool_bytes), &more);
    let (engine, more) = match status.versions.profiles.iter().find(|p| p.engine != "none") {
        Some(profile) => {
            let (name, library) = match profile.engine {
                "tensorrt" => ("GPU", "TensorRT"),
                _ => ("CPU", "ONNX Runtime"),
            };
            let numbers = profile.precisions.join(", ");
            (name, format!("{library} {}, {numbers}, {}", profile.engine_version, profile.device))
        }
        None => ("none", "the profile has no models".to_owned()),
    };
    tile(html, "engine", "Engine", engine, &more);
    hub(html, status);
    let (fence, more) = match status.sandbox {
        Fence::None => ("none", "it does not start"),
        Fence::Floor => ("floor", "seccomp and limits"),
        Fence::Landlock => ("landlock", "and seccomp, limits"),
        Fence::Namespaces => ("namespaces", "and Landlock, seccomp, limits"),
    };
    tile(html, "sandbox", "Sandbox", fence, more);
    html.push_str("</dl>");
    if status.temperatures.len() > 1 {
        html.push_str("<ul class=\"zones\" aria-label=\"Temperatures\">");
        for zone in &status.temperatures {
            let _ = write!(html, "<li>{} {:.0} °C</li>", Text(&zone.name), zone.celsius);
        }
        html.push_str("</ul>");
    }
    html.push_str("</section>");
}

/// The way to the hub.
fn hub(html: &mut String, status: &Status) {
    let Some(view) = &status.replication else {
        return tile(html, "hub", "Hub", "none", "this box stands alone");
    };
    let waiting = view.critical_lag + view.bulk_lag;
    let lag = match waiting {
        0 => "it has everything".to_owned(),
        1 => "1 entry waits".to_owned(),
        n => format!("{n} entries wait"),
    };
    let acknowledged = view.acknowledged_seconds.map_or_else(String::new, |seconds| {
        format!("; last word {} ago", words::span(Duration::from_secs(seconds)))
    });
    let value = match view.path {
        Some("mqtt") => "over MQTT",
        Some(_) => "over QUIC",
        None => "away",
    };
    let ordered = status.directives.as_ref().and_then(|view| view.last.as_ref());
    let ordered = ordered.map_or_else(String::new, |last| match &last.refused {
        None => format!("; its last order: {}", last.order),
        Some(code) => format!("; its last order, {}, was refused: {code}", last.order),
    });
    tile(html, "hub", "Hub", value, &format!("{lag}{acknowledged}{ordered}"));
}

/// Pace and graphics processors.
fn heat(html: &mut String, status: &Status) {
    let (pace, more) = match status.pace {
        Pace::Normal => ("normal", "not hot"),
        Pace::Warm => ("warm", "nothing beyond what policies promise"),
        Pace::Throttled => ("throttled", "as little as policies permit"),
    };
    let mode = status.power_mode.as_deref();
    let more = mode.map_or_else(|| more.to_owned(), |mode| format!("{more}; power mode {mode}"));
    tile(html, "pace", "Pace", pace, &more);
    if let Some(gpu) = status.gpus.first() {
        let load = gpu.load_percent.map_or_else(|| "–".to_owned(), |load| format!("{load:.0} %"));
        let clock = gpu.clock.map(|c| format!(" at {} of {} MHz", c.mhz, c.max_mhz));
        let more = format!("{}{}", gpu.name, clock.unwrap_or_default());
        tile(html, "gpu", "GPU", &load, &more);
    }
}

fn hour(html: &mut String, hour: &Summary) {
    html.push_str(
        "<section class=\"hour\" aria-labelledby=\"hour\"><h2 id=\"hour\">The last hour</h2>",
    );
    let [approved, rejected, held, failed] = hour.decided;
    let judged: u64 = hour.decided.iter().sum();
    if judged + hour.given_up == 0 {
        html.push_str("<p class=\"empty\">Nothing was judged in the last hour.</p></section>");
        return;
    }
    let failed = failed + hour.given_up;
    let all = judged + hour.given_up;
    let by_minute: Vec<[u64; 4]> =
        hour.minutes.iter().map(|m| PARTS.map(|(_, place)| m.decided[place])).collect();
    let most = by_minute.iter().map(|m| m.iter().sum::<u64>()).max().unwrap_or(0);
    let says = format!(
        "Verdicts by minute over the last hour: {all} in all, at most {most} in a minute; \
         {approved} approved, {held} held, {rejected} rejected, {failed} failed"
    );
    let _ = write!(
        html,
        "<figure><figcaption>Verdicts by minute <span class=\"more\">highest {most}</span></figcaption>{}\
         <p class=\"axis\" aria-hidden=\"true\"><span>an hour ago</span><span>now</span></p></figure>",
        chart::bars(&by_minute, PARTS.map(|(class, _)| class), &says)
    );
    html.push_str("<ul class=\"legend\">");
    for (class, count) in
        [("approved", approved), ("held", held), ("rejected", rejected), ("failed", failed)]
    {
        let _ = write!(
            html,
            "<li><span class=\"key {class}\" aria-hidden=\"true\"></span>{class} <b>{count}</b> <span class=\"more\">{}</span></li>",
            words::share(count, all)
        );
    }
    html.push_str("</ul>");
    if !hour.reasons.is_empty() {
        html.push_str("<h3>Why not approved</h3><ul class=\"reasons\">");
        for (reason, count) in &hour.reasons {
            let _ = write!(html, "<li><code>{}</code> <b>{count}</b></li>", Text(reason));
        }
        html.push_str("</ul>");
    }
    stages(html, hour);
    more_lines(html, hour);
    html.push_str("</section>");
}

fn stages(html: &mut String, hour: &Summary) {
    html.push_str(
        "<h3 id=\"stages\">How long it takes</h3><table class=\"stages\" aria-labelledby=\"stages\"><thead><tr>\
         <th scope=\"col\">Stage</th><th scope=\"col\">half within</th><th scope=\"col\">95 % within</th>\
         <th scope=\"col\">by minute</th></tr></thead><tbody>",
    );
    for times in &hour.stages {
        let cell = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), words::ms);
        let says = format!("{}: {}", times.stage, says_line(&times.p95_by_minute_ms, words::ms));
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            times.stage,
            cell(times.p50_ms),
            cell(times.p95_ms),
            chart::line(&times.p95_by_minute_ms, LEAST_TOP_MS, &says)
        );
    }
    html.push_str("</tbody></table>");
}

/// Queue and temperature by minute.
fn more_lines(html: &mut String, hour: &Summary) {
    let queue: Vec<_> = hour.minutes.iter().map(|m| Some(m.queue as f64)).collect();
    let longest = hour.minutes.iter().map(|m| m.queue).max().unwrap_or(0);
    let celsius: Vec<_> = hour.minutes.iter().map(|m| m.celsius).collect();
    let mut figure = |name: &str, more: &str, svg: String| {
        let _ = write!(
            html,
            "<figure><figcaption>{name} <span class=\"more\">{more}</span></figcaption>{svg}\
             <p class=\"axis\" aria-hidden=\"true\"><span>an hour ago</span><span>now</span></p></figure>"
        );
    };
    if longest > 0 {
        let says = format!("Queue by minute over the last hour: at most {longest}");
        figure("Queue", &format!("longest {longest}"), chart::line(&queue, 1.0, &says));
    }
    if let Some(hottest) = celsius.iter().flatten().copied().reduce(f64::max) {
        let says = format!("Temperature: {}", says_line(&celsius, |c| format!("{c:.0} °C")));
        figure(
            "Temperature",
            &format!("highest {hottest:.0} °C"),
            chart::line(&celsius, 100.0, &says),
        );
    }
}

fn says_line(values: &[Option<f64>], word: impl Fn(f64) -> String) -> String {
    let known = || values.iter().flatten().copied();
    match (known().reduce(f64::min), known().reduce(f64::max), known().last()) {
        (Some(least), Some(most), Some(last)) => format!(
            "by minute over the last hour, lowest {}, highest {}, last {}",
            word(least),
            word(most),
            word(last)
        ),
        _ => "nothing in the last hour".to_owned(),
    }
}

fn verdicts(html: &mut String, status: &Status) {
    html.push_str("<section aria-labelledby=\"verdicts\"><h2 id=\"verdicts\">Last verdicts</h2>");
    if status.verdicts.is_empty() {
        html.push_str("<p class=\"empty\">None since the start.</p></section>");
        return;
    }
    html.push_str(
        "<table class=\"verdicts\" aria-labelledby=\"verdicts\"><thead><tr><th scope=\"col\">UTC</th><th scope=\"col\">Kind</th>\
         <th scope=\"col\">Verdict</th><th scope=\"col\">Severity</th><th scope=\"col\" class=\"id\">Id</th></tr></thead><tbody>",
    );
    for seen in &status.verdicts {
        verdict(html, seen);
    }
    html.push_str("</tbody></table></section>");
}

fn verdict(html: &mut String, seen: &Seen) {
    let at = crate::serve::http::time(domain::journal::Millis(seen.at_ms));
    let at = at.as_str().and_then(|at| at.get(11..19)).unwrap_or("–");
    let status = match seen.status {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::Held => "held",
        Verdict::Failed => "failed",
    };
    let severity = match seen.severity {
        Severity::Safe => "safe",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    };
    let _ = write!(
        html,
        "<tr><td>{}<span class=\"seconds\">{}</span></td><td>{}</td><td><span class=\"key {status}\" aria-hidden=\"true\"></span>{status}</td>\
         <td>{severity}</td><td class=\"id\"><code>{}</code></td></tr>",
        at.get(..5).unwrap_or(at),
        at.get(5..).unwrap_or_default(),
        seen.kind,
        Text(&seen.short_id)
    );
}

fn versions(html: &mut String, status: &Status) {
    let versions = &status.versions;
    let _ = write!(
        html,
        "<section aria-labelledby=\"versions\"><h2 id=\"versions\">Versions</h2><dl class=\"rows\">\
         <div><dt>Weir</dt><dd>{}</dd></div><div><dt>Running for</dt><dd>{}</dd></div>\
         <div><dt>Database schema</dt><dd>{}</dd></div><div><dt>Box</dt><dd><code>{}</code></dd></div>",
        versions.weir,
        words::span(Duration::from_secs(versions.uptime_seconds)),
        versions.schema,
        Text(&versions.r#box),
    );
    for profile in &versions.profiles {
        let models = match profile.models.as_slice() {
            [] => "no models".to_owned(),
            models => models.join(", "),
        };
        let _ = write!(
            html,
            "<div><dt>Profile</dt><dd>{} <span class=\"more\">policy {}; {}</span></dd></div>",
            Text(&profile.name),
            Text(&profile.policy),
            Text(models)
        );
    }
    html.push_str("</dl></section>");
}
