//! `weir-samples DIR`: writes the sample media and their bank file. `weir-samples self-test DIR`: writes the media that the
//! gateway's self-test has built in.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (directory, write): (_, fn(&std::path::Path) -> _) = match arguments.as_slice() {
        [directory] => (PathBuf::from(directory), rig::samples::write_all),
        [which, directory] if which == "self-test" => {
            (PathBuf::from(directory), rig::samples::write_self_test)
        }
        _ => bail!("usage: weir-samples [self-test] DIR"),
    };
    write(&directory)
        .with_context(|| format!("the samples could not be made in {}", directory.display()))
}
