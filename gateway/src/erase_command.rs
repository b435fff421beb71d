//! `weir erase verify`: proof that an author was erased.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use domain::journal::{AuthorNumber, TenantId};

use crate::cli::{EraseArguments, EraseCommand};
use crate::control::data_dir;
use crate::serve::author_key;

/// Runs the command. 1 when something of the author is left, or a chain does not hold.
pub fn run(arguments: EraseArguments) -> anyhow::Result<ExitCode> {
    let EraseCommand::Verify { author, tenant, tombstone, data } = arguments.command;
    let (data, tenant) = (data_dir(data), tenant.parse::<TenantId>().context("--tenant")?);
    let key = author_key(&data, &tenant, &author)?;
    let mut left = Vec::new();
    let known = store::known_author(&data, &tenant, &key)?;
    for number in known.into_iter().chain(tombstone.map(AuthorNumber)) {
        for (table, rows) in store::remains(&data, number)? {
            left.push(format!("{rows} rows in {table}"));
        }
    }
    for file in store::files_with(&data, &key)? {
        left.push(format!("the author's key in the bytes of {}", file.display()));
    }
    let verified = store::verify(&data)?;
    let mut out = std::io::stdout().lock();
    for what in &left {
        writeln!(out, "left: {what}")?;
    }
    for problem in &verified.problems {
        writeln!(out, "problem: {problem}")?;
    }
    if !left.is_empty() || !verified.problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "nothing of this author is left in database and log; the chains hold")?;
    writeln!(out, "snapshots from before the erasure still hold it: delete them")?;
    Ok(ExitCode::SUCCESS)
}
