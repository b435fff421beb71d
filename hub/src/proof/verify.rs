//! Verifying a proof: no database, no network, and nothing believed of the document.

use domain::journal::{
    BadCheckpoint, BoxId, Epoch, GENESIS, Head, Lane, Millis, Parts, Seq, Sha256, SignedCheckpoint,
    link,
};
use serde::Serialize;
use sync::frame;

use super::{FORMAT, MOST_BYTES, MOST_FOLLOWING, Meaning, Place, Proof, PublicKey, fields};

/// Which keys the reader has from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys of the hub, today's and older ones; where there is none the document's own is taken, which anybody can make up.
    pub hub: Vec<PublicKey>,
    /// The box's key.
    pub device: Option<PublicKey>,
}

/// What a proof that holds says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verified {
    /// The box.
    #[serde(rename = "box")]
    pub of: BoxId,
    /// The life of its database.
    #[serde(with = "fields::epoch")]
    pub epoch: Epoch,
    /// The lane.
    #[serde(with = "fields::lane")]
    pub lane: Lane,
    /// The place in it.
    pub seq: Seq,
    /// The chain behind the entry.
    pub chain: Sha256,
    /// What the entry says.
    #[serde(flatten)]
    pub meaning: Meaning,
    /// SHA-256 of the checkpoint.
    pub checkpoint: Sha256,
    /// When the box signed it, by its clock.
    pub checkpoint_at_ms: Millis,
    /// How many entries lie between this one and the checkpoint.
    pub following: u64,
    /// The key by which it is signed.
    pub device_key: PublicKey,
    /// Whether the reader named that key.
    pub device_key_trusted: bool,
    /// When the hub countersigned, by its clock.
    pub countersigned_at_ms: Millis,
    /// The key by which it did.
    pub hub_key: PublicKey,
    /// Whether the reader named that key. If not, this says nothing until somebody compares it.
    pub hub_key_trusted: bool,
}

/// Why a document proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// No proof is so large.
    #[error("the document has more than {MOST_BYTES} bytes, which no proof has")]
    Large,
    /// Not the layout.
    #[error("the document is no proof, or was cut or edited: {0}")]
    Format(String),
    /// A format of a later release, or of somebody else.
    #[error("the document has the format `{0}`, and this release reads {FORMAT} alone")]
    Newer(String),
    /// A record is not readable, or stands elsewhere.
    #[error("record: {place}: {why}")]
    Record {
        /// Where it was counted.
        place: Place,
        /// What is wrong with it.
        why: String,
    },
    /// The device's signature, or what it covers.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] BadCheckpoint),
    /// It is about something else.
    #[error("checkpoint: {0}")]
    Beside(String),
    /// The links do not lead there.
    #[error(
        "chain: from entry {from} it does not lead to what the checkpoint says of entry {to}: the chain before, the record or one that follows was altered"
    )]
    Chain {
        /// The entry that was to be proved.
        from: u64,
        /// The head.
        to: u64,
    },
    /// It does not begin as a lane does.
    #[error("chain: before the first entry there is nothing, and the document has something there")]
    Genesis,
    /// Not by that key, or not over this.
    #[error("receipt: it is not by hub key {0}, or it, its time or the checkpoint was altered")]
    Receipt(PublicKey),
    /// By a key that the reader did not name.
    #[error("receipt: it is by hub key {0}, which is none of those that were given as the hub's")]
    HubKey(PublicKey),
    /// By no key that the reader named, and the document names none.
    #[error(
        "receipt: it is by none of the hub keys that were given, and the document does not name another"
    )]
    NoKey,
    /// Neither the document nor the reader names a key.
    #[error("receipt: the document does not name the hub's key: give the one that the hub had")]
    KeyMissing,
    /// Signed by a key that is not the one that the reader named.
    #[error("checkpoint: it is signed by {0}, which is not the box key that was given")]
    DeviceKey(PublicKey),
}

/// Verifies a document; what it says.
///
/// # Errors
/// What does not hold, and where.
pub fn verify(proof: &Proof, trust: &Trust) -> Result<Verified, BadProof> {
    let device = signed(proof)?;
    if trust.device.is_some_and(|known| known != proof.device_key) {
        return Err(BadProof::DeviceKey(proof.device_key));
    }
    let (hub_key, hub_key_trusted) = countersigned(proof, trust)?;
    let Proof { of, epoch, lane, seq, .. } = *proof;
    Ok(Verified {
        of,
        epoch,
        lane,
        seq,
        chain: device.chain,
        meaning: device.meaning,
        checkpoint: Sha256::of(&proof.checkpoint.bytes),
        checkpoint_at_ms: device.at,
        following: proof.following.len() as u64,
        device_key: proof.device_key,
        device_key_trusted: trust.device.is_some(),
        countersigned_at_ms: proof.receipt.at_ms,
        hub_key,
        hub_key_trusted,
    })
}

/// What the device vouches for.
pub(super) struct Signed {
    chain: Sha256,
    at: Millis,
    meaning: Meaning,
}

/// The box's part: its signature, and the chain that leads there.
pub(super) fn signed(proof: &Proof) -> Result<Signed, BadProof> {
    if proof.format != FORMAT {
        return Err(BadProof::Newer(super::printable(&proof.format)));
    }
    let Proof { of, epoch, lane, seq, .. } = *proof;
    let super::Checkpoint { bytes, signature } = proof.checkpoint.clone();
    let checkpoint = SignedCheckpoint { bytes, signature }.verify(proof.device_key.bytes())?;
    if checkpoint.of != of {
        return Err(BadProof::Beside(format!("it is of box {}", checkpoint.of)));
    }
    if checkpoint.epoch != epoch {
        return Err(BadProof::Beside(format!("it is of epoch {}", checkpoint.epoch)));
    }
    let heads: Vec<&Head> = checkpoint.heads.iter().filter(|head| head.lane == lane).collect();
    let [head] = heads[..] else {
        let many = heads.len();
        return Err(BadProof::Beside(format!("it has {many} heads of this lane, not one")));
    };
    let many = proof.following.len() as u64;
    let end = seq.0.checked_add(many).filter(|_| seq.0 > 0 && many <= MOST_FOLLOWING);
    if end != Some(head.seq.0) {
        return Err(BadProof::Beside(format!(
            "it ends this lane at entry {}, and the document goes from {} over {many} more",
            head.seq.0, seq.0
        )));
    }
    if seq.0 == 1 && proof.previous != GENESIS {
        return Err(BadProof::Genesis);
    }
    let mut place = proof.place();
    let chain = step(place, proof.previous, &proof.record)?;
    let mut last = chain;
    for record in &proof.following {
        place.seq = place.seq.next();
        last = step(place, last, record)?;
    }
    if last != head.chain {
        return Err(BadProof::Chain { from: seq.0, to: head.seq.0 });
    }
    // Of bytes that nobody vouches for it would say nothing.
    let meaning = Meaning::read(proof.place(), &proof.record)?;
    Ok(Signed { chain, at: checkpoint.at, meaning })
}

/// One link. The record has to say itself that it stands here.
fn step(place: Place, previous: Sha256, record: &[u8]) -> Result<Sha256, BadProof> {
    let bad = |why: String| BadProof::Record { place, why };
    let parts = Parts::split(record).map_err(|why| bad(why.to_string()))?;
    let Parts { of, epoch, lane, seq, .. } = parts;
    let says = Place { of, epoch, lane, seq };
    if says != place {
        return Err(bad(format!("it says itself that it is {says}")));
    }
    Ok(link(previous, record))
}

/// The hub's part: by which key, and whether the reader trusts it.
fn countersigned(proof: &Proof, trust: &Trust) -> Result<(PublicKey, bool), BadProof> {
    let checkpoint = Sha256::of(&proof.checkpoint.bytes);
    let super::Receipt { at_ms: Millis(at), signature } = proof.receipt.clone();
    let receipt = frame::Receipt { checkpoint, at, signature };
    let by = |key: &PublicKey| receipt.verify(key.bytes());
    if let Some(named) = proof.hub_key.filter(|named| !by(named)) {
        return Err(BadProof::Receipt(named));
    }
    if let Some(known) = trust.hub.iter().find(|known| by(known)) {
        return Ok((*known, true));
    }
    match (proof.hub_key, trust.hub.is_empty()) {
        (Some(named), true) => Ok((named, false)),
        (Some(named), false) => Err(BadProof::HubKey(named)),
        (None, true) => Err(BadProof::KeyMissing),
        (None, false) => Err(BadProof::NoKey),
    }
}
