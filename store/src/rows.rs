//! How values are written to columns and read back.

use std::str::FromStr;

use domain::journal::{AuthorNumber, Millis, Sha256};
use rusqlite::Row;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, error::bad_row};

/// A number without sign, bit by bit in one with.
pub(crate) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// The author of a row.
pub(crate) fn author(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<AuthorNumber>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|n| AuthorNumber(n.cast_unsigned())))
}

/// A hash of a row.
pub(crate) fn sha256(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Sha256>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(Sha256))
}

/// A time of a row.
pub(crate) fn millis(row: &Row<'_>, column: &str) -> rusqlite::Result<Millis> {
    row.get(column).map(Millis)
}

/// A word of a row that has a type of its own.
pub(crate) fn word<T: FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| bad_row(format!("`{text}` in {column}")))
}

/// A JSON value of a row.
pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| bad_row(format!("{column}: {e}")))
}

/// A value as JSON, for a column.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::damaged(e.to_string()))
}

/// A plain enum as its slug: the JSON of it without quotes.
pub(crate) fn slug(value: &impl Serialize) -> Result<String, Error> {
    Ok(to_json(value)?.trim_matches('"').to_owned())
}

/// A plain enum of its slug.
pub(crate) fn unslug<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|e| bad_row(format!("{column}: {e}")))
}
