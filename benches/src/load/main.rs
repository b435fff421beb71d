//! `weir-load PART…`: the gateway under load. Parts: `gate`, `accepts`, `photos`, `batcher`, `soak`; docs/PERFORMANCE.md tells what each asks.
#![forbid(unsafe_code)]

mod accepts;
mod batcher;
mod client;
mod gate;
mod pace;
mod photos;
mod service;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, config, data, group] = arguments.as_slice()
        && what == "inside"
    {
        return service::inside(config.as_ref(), data.as_ref(), group.parse()?);
    }
    if arguments.is_empty() {
        bail!("usage: weir-load gate|accepts|photos|batcher|soak…");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for part in &arguments {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            println!("\n## {part} (load average {})", load.split(' ').next().unwrap_or_default());
            match part.as_str() {
                "gate" => gate::run().await?,
                "accepts" => accepts::run().await?,
                "photos" => photos::run().await?,
                "batcher" => tokio::task::block_in_place(batcher::run)?,
                "soak" => photos::soak().await?,
                other => bail!("`{other}` is no part"),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// One line on a goal: at least `bound`, or with `most` at most.
fn goal(what: &str, value: f64, bound: f64, unit: &str, most: bool) {
    let met = if most { value <= bound } else { value >= bound };
    let (met, sign) = (if met { "met   " } else { "MISSED" }, if most { '≤' } else { '≥' });
    println!("GOAL {met} {what}: {value:.2} {unit} (asked {sign} {bound})");
}
