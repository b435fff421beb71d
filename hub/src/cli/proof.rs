//! `weir-hub proof`: makes proofs out of the database, and verifies them without one.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use domain::journal::{BoxId, Epoch, Millis, Seq};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{At, BROKEN};
use crate::projection::{action, severity, status};
use crate::proof::{
    Decision, Place, Proof, PublicKey, Trust, Verified, decision, lane_of, make, verify,
};

/// What to do about proofs.
#[derive(Subcommand, Debug)]
pub enum ProofCommand {
    /// Makes the proof of one entry: that the box signed it, and that the hub countersigned.
    Make(MakeArguments),
    /// Verifies a proof, without database or network; exit 1 and what does not hold, where something does not.
    Verify {
        /// The document.
        file: PathBuf,
        /// The hub's public key, which you have from the hub's operator (`weir-hub key list`); repeat for older ones.
        #[arg(long = "hub-key", value_name = "HEX")]
        hub: Vec<PublicKey>,
        /// The box's public key, where you have that, too.
        #[arg(long = "box-key", value_name = "HEX")]
        device: Option<PublicKey>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Of which entry.
#[derive(Args, Debug)]
pub struct MakeArguments {
    /// The entry's place; the lane is `critical` or `bulk`.
    #[arg(num_args = 4, value_names = ["BOX", "EPOCH", "LANE", "SEQ"], required_unless_present = "submission")]
    place: Vec<String>,
    /// The box that decided.
    #[arg(long = "box", value_name = "ID", requires = "submission", conflicts_with = "place")]
    of: Option<BoxId>,
    /// A submission: the proof is of a decision on it.
    #[arg(long, value_name = "ID", requires = "of", conflicts_with = "place")]
    submission: Option<Uuid>,
    /// Which decision, where not the latest.
    #[arg(long, requires = "submission")]
    number: Option<u32>,
    /// A file to make; without it the document goes to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which database, and how to answer.
    #[command(flatten)]
    at: At,
}

/// Runs a command; the exit code.
pub(super) async fn run(command: ProofCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProofCommand::Make(arguments) => prove(&arguments).await,
        ProofCommand::Verify { file, hub, device, json } => {
            check(&file, &Trust { hub, device }, json)
        }
    }
}

async fn prove(arguments: &MakeArguments) -> anyhow::Result<ExitCode> {
    let MakeArguments { place: words, of, submission, number, out, at } = arguments;
    let by_place = if words.is_empty() { None } else { Some(place(words)?) };
    let client = at.connect().await?;
    let place = match (by_place, of, submission) {
        (Some(place), ..) => place,
        (None, Some(of), Some(id)) => decision(&client, *of, *id, *number).await?,
        _ => bail!("say which entry: BOX EPOCH LANE SEQ, or --box and --submission"),
    };
    let text = make(&client, place).await?.write()?;
    let Some(file) = out else {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    };
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    let mut made = made.with_context(|| format!("cannot make {}", file.display()))?;
    made.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    let value = json!({ "file": file.display().to_string() });
    at.tell(&value, || format!("made {}: a proof of {place}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn place(words: &[String]) -> anyhow::Result<Place> {
    let [of, epoch, lane, seq] = words else { bail!("a place is BOX EPOCH LANE SEQ") };
    let of = of.parse().with_context(|| format!("`{of}` is no UUID"))?;
    let bits = u64::from_str_radix(epoch, 16);
    let bits = bits.with_context(|| format!("`{epoch}`: an epoch has 16 hexadecimal digits"))?;
    let lane = lane_of(lane).with_context(|| format!("`{lane}`: write critical or bulk"))?;
    let seq = seq.parse().with_context(|| format!("`{seq}` is no number of an entry"))?;
    Ok(Place { of, epoch: Epoch(bits), lane, seq: Seq(seq) })
}

fn check(file: &Path, trust: &Trust, json: bool) -> anyhow::Result<ExitCode> {
    let read = Proof::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    match read.and_then(|proof| verify(&proof, trust)) {
        Ok(verified) => {
            if json {
                let mut value = serde_json::to_value(&verified)?;
                value["holds"] = Value::Bool(true);
                println!("{}", serde_json::to_string_pretty(&value)?);
            } else {
                println!("{}", told(&verified));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(bad) => {
            if json {
                let value = json!({ "holds": false, "problem": bad.to_string() });
                println!("{}", serde_json::to_string_pretty(&value)?);
            } else {
                println!("DOES NOT HOLD: {bad}");
            }
            Ok(ExitCode::from(BROKEN))
        }
    }
}

/// For people. Every word out of an entry is a code or a number: nothing in it can play tricks on a terminal.
fn told(it: &Verified) -> String {
    let meaning = &it.meaning;
    let place = Place { of: it.of, epoch: it.epoch, lane: it.lane, seq: it.seq };
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<14} {text}"));
    match &meaning.decision {
        Some(decision) => decided(decision, &mut line),
        None => line("entry", format!("no decision: an event of kind {}", meaning.kind)),
    }
    line("by", format!("{}, at {} by the box's clock", meaning.actor, when(meaning.at_ms)));
    line("stands as", place.to_string());
    if let Some(stood) = meaning.stood {
        let before = Place { epoch: stood.epoch, lane: stood.lane, seq: stood.seq, ..place };
        line("told again", format!("the journal forked; it stood first as {before}"));
    }
    line("chain", format!("{} behind it", it.chain));
    let at = when(it.checkpoint_at_ms);
    let behind = match it.following {
        0 => "it itself being the last".to_owned(),
        many => format!("{many} entries further on"),
    };
    line("signed", format!("by the box in checkpoint {}, {behind}, at {at}", it.checkpoint));
    line("box key", format!("{}{}", it.device_key, named(it.device_key_trusted)));
    line("countersigned", format!("by the hub at {}", when(it.countersigned_at_ms)));
    line("hub key", format!("{}{}", it.hub_key, named(it.hub_key_trusted)));
    if it.hub_key_trusted {
        lines.push("HOLDS".to_owned());
    } else {
        lines.push(format!(
            "HOLDS, BUT ONLY IF {} IS THE HUB'S KEY: anybody can make a document with a key of their own. Compare it with what the hub's operator says, or give that as --hub-key",
            it.hub_key
        ));
    }
    lines.join("\n")
}

fn named(trusted: bool) -> &'static str {
    if trusted { ", as given" } else { ", by the document's own word" }
}

fn decided(it: &Decision, line: &mut impl FnMut(&str, String)) {
    let supersedes = it.supersedes.map(|number| format!(", in place of {number}"));
    let supersedes = supersedes.unwrap_or_default();
    let Decision { submission, tenant, number, .. } = it;
    line("submission", format!("{submission} of tenant {tenant}"));
    let (status, grave, action) = (status(it.status), severity(it.severity), action(it.action));
    let whole = if it.complete { "all" } else { "NOT all" };
    line(
        "decided",
        format!(
            "{status}, severity {grave}, action {action}; {whole} that the policy demands was seen"
        ),
    );
    line("decision", format!("{number}{supersedes}"));
    let reasons: Vec<String> = it.reasons.iter().map(ToString::to_string).collect();
    let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    line("reasons", reasons);
    for (category, grave, score) in &it.categories {
        let score = f64::from(*score) / 1000.0;
        line("category", format!("{category}, severity {}, score {score:.3}", severity(*grave)));
    }
    line("policy", it.policy.to_string());
    let models: Vec<String> = it.models.iter().map(ToString::to_string).collect();
    if !models.is_empty() {
        line("models", models.join(", "));
    }
}

fn when(at: Millis) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{} ms since 1970", at.0))
}
