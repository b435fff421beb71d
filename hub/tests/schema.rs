//! The tables: how they come about, and what must hold of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{count, migrated};
use hub::{Database, Error, schema};
use rig::postgres::Postgres;

/// Rows that are no box's, and whose keys therefore cannot carry it.
const REFERENCE: [&str; 27] = [
    "schema_versions",
    "enrolment_tokens",
    "api_tokens",
    "nodes",
    "tenants",
    "directive_epochs",
    "directive_lanes",
    "directives",
    "blobs",
    "blob_pieces",
    "database_lives",
    "lost_directives",
    "accounts",
    "invitations",
    "sessions",
    "passkeys",
    "challenges",
    "oidc_links",
    "oidc_flows",
    "audit",
    "approvals",
    "list_entries",
    "hub_keys",
    "releases",
    "drafts",
    "rollouts",
    "rollout_stages",
];

#[tokio::test]
async fn every_unique_key_carries_the_distribution_column() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let client = database.connect().await.unwrap();
    let query = "SELECT t.relname, i.relname, bool_or(a.attname = 'box')
        FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = 'public'
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY(x.indkey)
        WHERE x.indisunique GROUP BY 1, 2";
    let keys = client.query(query, &[]).await.unwrap();
    assert!(keys.len() >= 10, "the catalogue shows the keys");
    let mut exceptions = 0;
    for key in keys {
        let (table, index, carries): (String, String, bool) = (key.get(0), key.get(1), key.get(2));
        let reference = REFERENCE.contains(&table.as_str());
        assert_eq!(carries, !reference, "{index} of {table}");
        exceptions += usize::from(reference);
    }
    assert!(exceptions >= REFERENCE.len(), "the exceptions are still there");
}

#[tokio::test]
async fn many_nodes_migrate_at_once_and_a_newer_schema_is_refused() {
    let postgres = Postgres::start();
    let database = Database::new(&postgres.url()).unwrap();
    let one = || async { schema::migrate(&mut database.connect().await.unwrap()).await };
    let (a, b, c) = tokio::join!(one(), one(), one());
    let mut from = [a.unwrap().from, b.unwrap().from, c.unwrap().from];
    from.sort_unstable();
    assert_eq!(from, [0, schema::SCHEMA, schema::SCHEMA], "one of them did it");
    let mut client = database.connect().await.unwrap();
    schema::check(&client).await.unwrap();
    client
        .batch_execute("INSERT INTO schema_versions (version, release) VALUES (99, 'x')")
        .await
        .unwrap();
    for refused in
        [schema::check(&client).await.unwrap_err(), schema::migrate(&mut client).await.unwrap_err()]
    {
        assert!(matches!(refused, Error::Newer { found: 99, .. }), "{refused}");
        assert!(refused.to_string().contains("start the release"), "{refused}");
    }
}

#[tokio::test]
async fn days_are_made_once_and_dropped_by_retention() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let client = database.connect().await.unwrap();
    let days = "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relname = 'entries'";
    assert_eq!(count(&database, days).await, 2, "today and tomorrow");
    for _ in 0..2 {
        client.batch_execute("SELECT ensure_day(date '2020-02-29')").await.unwrap();
    }
    assert_eq!(count(&database, days).await, 3);
    assert_eq!(count(&database, "SELECT drop_days_before(date '2020-02-29')::bigint").await, 0);
    let gone = count(&database, "SELECT drop_days_before(date '2020-03-01')::bigint").await;
    assert_eq!(gone, 6, "one of each table");
    assert_eq!(count(&database, days).await, 2);
}
