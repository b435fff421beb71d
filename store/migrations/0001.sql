-- Schema 1. Times are milliseconds since 1970; 64-bit numbers without sign are stored bit by bit in signed ones.

CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE schema_versions (schema INTEGER PRIMARY KEY, at INTEGER NOT NULL, release TEXT NOT NULL);

-- Journal. base_* is where the entries that are still here begin: what was pruned before it.
CREATE TABLE epochs (n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE, cause TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE lanes (
    epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    base_seq INTEGER NOT NULL, base_chain BLOB NOT NULL, acked_seq INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane)
) WITHOUT ROWID;
CREATE TABLE journal (
    epoch INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    at INTEGER NOT NULL, record BLOB NOT NULL, chain BLOB NOT NULL,
    PRIMARY KEY (epoch, lane, seq)
) WITHOUT ROWID;
CREATE TABLE sides (
    epoch INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    kind TEXT NOT NULL, submission BLOB, author INTEGER, salt BLOB NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (epoch, lane, seq)
) WITHOUT ROWID;
CREATE INDEX sides_submission ON sides (submission);
CREATE INDEX sides_author ON sides (author) WHERE author IS NOT NULL;
CREATE TABLE checkpoints (n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL, signature BLOB NOT NULL);

-- Submissions. decision is the number of the one in force, NULL while there is none.
CREATE TABLE submissions (
    id BLOB PRIMARY KEY, tenant TEXT NOT NULL, surface TEXT NOT NULL, language TEXT,
    author INTEGER, priority INTEGER NOT NULL, client_tag TEXT,
    idempotency_key TEXT, request BLOB NOT NULL, ip TEXT, received_at INTEGER NOT NULL,
    state TEXT NOT NULL, decision INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX submissions_key ON submissions (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX submissions_tenant ON submissions (tenant, id);
CREATE INDEX submissions_state ON submissions (tenant, state, id);
CREATE INDEX submissions_author ON submissions (author, received_at) WHERE author IS NOT NULL;
CREATE INDEX submissions_received ON submissions (received_at);
CREATE INDEX submissions_ip ON submissions (received_at) WHERE ip IS NOT NULL AND instr(ip, '/') = 0;

CREATE TABLE media (
    submission BLOB NOT NULL, n INTEGER NOT NULL,
    sha256 BLOB, bytes INTEGER, kind TEXT NOT NULL, blob TEXT, url TEXT, keep_until INTEGER,
    PRIMARY KEY (submission, n)
) WITHOUT ROWID;
CREATE INDEX media_sha256 ON media (sha256);
CREATE INDEX media_blob ON media (blob) WHERE blob IS NOT NULL;
CREATE TABLE pdqs (
    submission BLOB NOT NULL, n INTEGER NOT NULL, k INTEGER NOT NULL, tenant TEXT NOT NULL,
    pdq BLOB NOT NULL, quality INTEGER,
    PRIMARY KEY (submission, n, k)
) WITHOUT ROWID;

-- Work. One job a submission; its rank is its number, less a thousand for each step of priority. Numbers are never used
-- again: the lease on a job that is done must not fit the next one.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, submission BLOB NOT NULL UNIQUE, tenant TEXT NOT NULL, kind TEXT NOT NULL,
    priority INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL, set_at INTEGER NOT NULL, incarnation INTEGER, reason TEXT
);
CREATE INDEX jobs_next ON jobs (state, id - 1000 * priority);

CREATE TABLE decisions (
    submission BLOB NOT NULL, number INTEGER NOT NULL, supersedes INTEGER, at INTEGER NOT NULL,
    actor TEXT NOT NULL, decision TEXT NOT NULL, models TEXT NOT NULL, detail TEXT,
    epoch INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (submission, number)
) WITHOUT ROWID;

-- What is still to be told or deleted.
CREATE TABLE effects (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant TEXT NOT NULL, kind TEXT NOT NULL, event TEXT NOT NULL, endpoint TEXT NOT NULL,
    submission BLOB, decision INTEGER, payload BLOB NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL, set_at INTEGER NOT NULL, incarnation INTEGER
);
CREATE INDEX effects_next ON effects (state, kind, n);
CREATE INDEX effects_submission ON effects (submission) WHERE submission IS NOT NULL;
CREATE TABLE effect_failures (
    effect BLOB NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (effect, attempt)
) WITHOUT ROWID;
CREATE TABLE blobs (
    name TEXT PRIMARY KEY, sha256 BLOB, bytes INTEGER NOT NULL, stored_at INTEGER NOT NULL, going INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE claims (id BLOB PRIMARY KEY, blob TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX claims_blob ON claims (blob);

-- People.
CREATE TABLE authors (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, key BLOB NOT NULL, seen_at INTEGER NOT NULL, UNIQUE (tenant, key));
CREATE TABLE strikes (
    id INTEGER PRIMARY KEY, author INTEGER NOT NULL, submission BLOB, decision INTEGER,
    severity TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL
);
CREATE INDEX strikes_author ON strikes (author);
CREATE INDEX strikes_submission ON strikes (submission);
CREATE TABLE orders (author INTEGER PRIMARY KEY, level TEXT NOT NULL, until INTEGER, submission BLOB, at INTEGER NOT NULL);

-- Lists, and what the gate answers. A row of media_verdicts counts while its generation is the tenant's.
CREATE TABLE tenants (tenant TEXT PRIMARY KEY, generation INTEGER NOT NULL, lists INTEGER NOT NULL, policy TEXT) WITHOUT ROWID;
CREATE TABLE media_verdicts (
    tenant TEXT NOT NULL, surface TEXT NOT NULL, sha256 BLOB NOT NULL,
    status TEXT NOT NULL, submission BLOB NOT NULL, generation INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (tenant, surface, sha256)
) WITHOUT ROWID;
CREATE TABLE bank_entries (
    id BLOB PRIMARY KEY, tenant TEXT NOT NULL, negative INTEGER NOT NULL, hash BLOB NOT NULL, distance INTEGER,
    label TEXT NOT NULL, protected INTEGER NOT NULL, version INTEGER NOT NULL, added_at INTEGER NOT NULL, removed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX bank_entries_version ON bank_entries (tenant, version);
CREATE INDEX bank_entries_hash ON bank_entries (tenant, hash);

CREATE TABLE reports (
    id BLOB PRIMARY KEY, tenant TEXT NOT NULL, submission BLOB, target TEXT, reason TEXT NOT NULL,
    reporter INTEGER, source TEXT, at INTEGER NOT NULL, state TEXT NOT NULL,
    epoch INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reports_tenant ON reports (tenant, state, id);
CREATE INDEX reports_submission ON reports (submission) WHERE submission IS NOT NULL;
CREATE TABLE appeals (
    id BLOB PRIMARY KEY, tenant TEXT NOT NULL, submission BLOB NOT NULL, decision INTEGER NOT NULL,
    at INTEGER NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX appeals_tenant ON appeals (tenant, state, id);
CREATE UNIQUE INDEX appeals_open ON appeals (submission, decision);

-- Who may, and switches.
CREATE TABLE api_keys (
    id BLOB PRIMARY KEY, tenant TEXT NOT NULL, secret BLOB NOT NULL UNIQUE, scopes TEXT NOT NULL, name TEXT NOT NULL,
    at INTEGER NOT NULL, revoked_at INTEGER
) WITHOUT ROWID;
CREATE TABLE flags (name TEXT PRIMARY KEY, on_off INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
