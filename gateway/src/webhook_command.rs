//! `weir webhook`: endpoints that said 410 Gone.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{WebhookArguments, WebhookCommand};
use crate::control::{Request, ask, data_dir};

/// Runs it.
pub fn run(arguments: WebhookArguments) -> anyhow::Result<ExitCode> {
    let data = data_dir(arguments.data);
    let mut out = std::io::stdout().lock();
    match arguments.command {
        WebhookCommand::Enable { name, tenant } => {
            let tenant = tenant.parse().context("--tenant")?;
            let name =
                name.parse().context("the endpoint's name (`weir webhook list` shows it)")?;
            ask(&data, Request::WebhookEnable { tenant, name })?;
            writeln!(out, "enabled")?;
        }
        WebhookCommand::List => {
            let gone = ask(&data, Request::WebhookGone)?;
            for one in gone.as_array().into_iter().flatten() {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                writeln!(
                    out,
                    "{}  {}  gone since {}",
                    text("tenant"),
                    text("name"),
                    text("since")
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
