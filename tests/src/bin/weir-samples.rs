//! `weir-samples DIR`: writes the sample media and their bank file.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        bail!("usage: weir-samples DIR");
    };
    let directory = std::path::PathBuf::from(directory);
    rig::samples::write_all(&directory)
        .with_context(|| format!("the samples could not be made in {}", directory.display()))
}
