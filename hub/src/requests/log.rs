//! Who asked what, and what came of it: written down before the box is asked.

use domain::journal::BoxId;
use sync::request::Ask;
use tokio_postgres::Client;
use uuid::Uuid;

use super::Question;
use crate::Error;

/// It is about to be asked.
pub(super) async fn asked(client: &Client, id: Uuid, question: &Question) -> Result<(), Error> {
    let Question { of, ask, token, by } = question;
    let (medium, at_ms) = match ask {
        Ask::Preview(preview) => {
            let at_ms = preview.at_ms.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
            (Some(i32::from(preview.index)), at_ms)
        }
        _ => (None, None),
    };
    let submission = ask.submission().map(|id| id.0);
    client
        .execute(
            "INSERT INTO request_log (box, id, kind, submission, medium, at_ms, token, asked_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&of.0, &id, &ask.word(), &submission, &medium, &at_ms, token, &by.as_str()],
        )
        .await?;
    Ok(())
}

/// What came of it: bytes, or why not.
pub(super) async fn ended(
    client: &Client,
    id: Uuid,
    of: BoxId,
    outcome: Result<usize, &str>,
) -> Result<(), Error> {
    let (word, bytes) = match outcome {
        Ok(bytes) => ("answered", Some(i64::try_from(bytes).unwrap_or(i64::MAX))),
        Err(code) => (code, None),
    };
    let query = "UPDATE request_log SET outcome = $3, bytes = $4 WHERE box = $1 AND id = $2";
    client.execute(query, &[&of.0, &id, &word, &bytes]).await?;
    Ok(())
}
