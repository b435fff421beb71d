//! `weir token` and `weir flag`: who may call, and switches.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use domain::journal::Code;
use serde_json::Value;

use crate::cli::{FlagArguments, FlagCommand, TokenArguments, TokenCommand};
use crate::control::{Request, ask, data_dir};

/// Runs `weir token`.
pub fn token(arguments: TokenArguments) -> anyhow::Result<ExitCode> {
    let data = data_dir(arguments.data);
    let mut out = std::io::stdout().lock();
    match arguments.command {
        TokenCommand::Create { tenant, scopes, name } => {
            let tenant = tenant.parse().context("--tenant")?;
            let scopes = scopes
                .iter()
                .map(|scope| Ok(scope_name(scope)?.parse::<Code>()?))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let made = ask(&data, Request::TokenCreate { tenant, name, scopes })?;
            writeln!(out, "{}", made["token"].as_str().unwrap_or_default())?;
            eprintln!(
                "weir: token {} made; it is shown this once and kept nowhere",
                made["id"].as_str().unwrap_or_default()
            );
        }
        TokenCommand::List { tenant } => {
            let tenant = tenant.map(|t| t.parse()).transpose().context("--tenant")?;
            let keys = ask(&data, Request::TokenList { tenant })?;
            for key in keys.as_array().into_iter().flatten() {
                let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
                let scopes: Vec<&str> = key["scopes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let state = if key["revoked_at"].is_null() { "in force" } else { "revoked" };
                let scopes = scopes.join(" ");
                writeln!(
                    out,
                    "{}  {}  {}  {state}  {scopes}",
                    text("id"),
                    text("tenant"),
                    text("name")
                )?;
            }
        }
        TokenCommand::Revoke { tenant, id } => {
            let tenant = tenant.parse().context("--tenant")?;
            let id = id.parse().context("the token's id (`weir token list` shows it)")?;
            ask(&data, Request::TokenRevoke { tenant, id })?;
            writeln!(out, "revoked")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A scope with its prefix, which may be left out.
fn scope_name(scope: &str) -> anyhow::Result<String> {
    let name = scope.strip_prefix("modnet:").unwrap_or(scope);
    anyhow::ensure!(
        ["submit", "read", "review", "admin"].contains(&name),
        "`{scope}` is no scope; write submit, read, review or admin"
    );
    Ok(format!("modnet:{name}"))
}

/// Runs `weir flag`.
pub fn flag(arguments: FlagArguments) -> anyhow::Result<ExitCode> {
    let data = data_dir(arguments.data);
    let mut out = std::io::stdout().lock();
    match arguments.command {
        FlagCommand::Set { name, state } => {
            let name: Code = name.parse()?;
            let on = state == crate::cli::OnOff::On;
            ask(&data, Request::FlagSet { name, on })?;
            writeln!(out, "set")?;
        }
        FlagCommand::List => {
            let flags = ask(&data, Request::FlagList)?;
            for (name, on) in flags.as_object().into_iter().flatten() {
                writeln!(out, "{name}  {}", if *on == Value::Bool(true) { "on" } else { "off" })?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
