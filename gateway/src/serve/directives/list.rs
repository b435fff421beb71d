//! Orders on a tenant's own hash list.

use domain::directive::{Address, List, Told};
use domain::journal::{Actor, Code};
use store::{Error, Hash, Kept, NewBankEntry, Rematch};

use super::{App, Outcome, Stop, refuse};
use crate::serve::lists;

/// An entry comes or goes: in force for the next item. What was seen is matched after the receipt, for that may take its time.
pub fn change(app: &App, told: &Told, list: &List) -> Outcome {
    let Address::Tenant(tenant) = &told.place.to else {
        return refuse("wrong_address", "a list is a tenant's: order it by tenant");
    };
    let entry = entry(list)?;
    if list.add {
        app.store.add_ordered_entry(tenant.clone(), entry.clone(), told.at).wait()?;
    } else {
        let known = app.store.bank_entries(tenant, 0)?.into_iter();
        let same =
            |known: &NewBankEntry| (known.negative, known.hash) == (entry.negative, entry.hash);
        for row in known.filter(|row| row.removed_at.is_none() && same(&row.entry)) {
            match app.store.remove_bank_entry(tenant.clone(), row.id, Actor::Hub).wait() {
                // Somebody else was faster.
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    // Of what a negative entry cleared nobody can say what it was; it speaks again at the next upload.
    let moot = entry.negative && !list.add;
    let rematch = Rematch { tenant: tenant.clone(), added: list.add, entry };
    let rematches = if moot { Vec::new() } else { vec![rematch] };
    Ok(Kept { rematches, ..Kept::default() })
}

/// The same rules as for `POST /v1/hashes`.
fn entry(list: &List) -> Result<NewBankEntry, Stop> {
    let hash = match list.distance {
        None if list.negative => {
            return refuse("bad_content", "a SHA-256 clears nothing: only a PDQ can be negative");
        }
        None => Hash::Sha256(list.hash),
        Some(distance) if distance <= lists::FARTHEST => Hash::Pdq(list.hash.0, distance),
        Some(distance) => {
            let detail = format!("a distance of {distance}; the most is {}", lists::FARTHEST);
            return refuse("bad_content", detail);
        }
    };
    let label = match (list.negative, list.category) {
        (true, _) => "negative".to_owned(),
        (false, Some(category)) => lists::label(category, list.verified),
        // An entry that goes is found by its hash.
        (false, None) if !list.add => "gone".to_owned(),
        (false, None) => return refuse("bad_content", "an entry that matches needs a category"),
    };
    let protected = list.protected && !list.negative;
    Ok(NewBankEntry { negative: list.negative, hash, label: Code::lossy(&label), protected })
}
