-- The hub's database. docs/hub.md tells what each table is for. Times that end in _at are by the hub's clock; `at` alone is
-- the box's clock in milliseconds since 1970, which says nothing about order. Epochs and author numbers are random
-- 64 bits, stored as the signed number of the same bits.

CREATE TABLE schema_versions (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    release text NOT NULL
);

CREATE TABLE boxes (
    box uuid PRIMARY KEY,
    name text NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    serial bytea NOT NULL,
    state text NOT NULL DEFAULT 'enrolled' CHECK (state IN ('enrolled', 'quarantined', 'revoked')),
    release text,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz
);

-- Who listens learns within moments that a box may no more.
CREATE FUNCTION tell_of_box() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('weir_boxes', NEW.box::text);
    RETURN NEW;
END $$;
CREATE TRIGGER tell_of_box AFTER INSERT OR UPDATE OF state ON boxes FOR EACH ROW EXECUTE FUNCTION tell_of_box();

CREATE TABLE enrolment_tokens (
    secret_sha256 bytea PRIMARY KEY CHECK (length(secret_sha256) = 32),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_by uuid,
    used_at timestamptz
);

CREATE TABLE api_tokens (
    name text PRIMARY KEY,
    secret_sha256 bytea NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Up to where each lane of each epoch is committed: the fence of every ingest. Rows are updated in place.
CREATE TABLE cursors (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL CHECK (lane IN (0, 1)),
    seq bigint NOT NULL CHECK (seq >= 0),
    chain bytea NOT NULL CHECK (length(chain) = 32),
    began_at timestamptz NOT NULL DEFAULT now(),
    moved_at timestamptz NOT NULL DEFAULT now(),
    -- Another journal went under this name: nothing of this epoch is taken any more.
    forked_at timestamptz,
    PRIMARY KEY (box, epoch, lane)
) WITH (fillfactor = 50);

-- The raw bytes of every entry, and the chain behind it.
CREATE TABLE entries (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    kind smallint NOT NULL,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL,
    chain bytea NOT NULL,
    record bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX entries_place ON entries (box, epoch, lane, seq);
CREATE INDEX entries_time ON entries USING brin (received_at);

-- What can be erased without breaking a proof.
CREATE TABLE sides (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    submission uuid,
    author bigint,
    received_at timestamptz NOT NULL,
    salt bytea NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (box, epoch, lane, seq, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX sides_submission ON sides (box, submission) WHERE submission IS NOT NULL;
CREATE INDEX sides_author ON sides (box, author) WHERE author IS NOT NULL;

-- Authors who were erased: a side record that comes later is not kept.
CREATE TABLE erased (
    box uuid NOT NULL,
    author bigint NOT NULL,
    tenant text NOT NULL,
    erased_at timestamptz NOT NULL,
    PRIMARY KEY (box, author)
);

CREATE TABLE submissions (
    box uuid NOT NULL,
    submission uuid NOT NULL,
    tenant text NOT NULL,
    surface text NOT NULL,
    author bigint,
    has_text boolean NOT NULL,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX submissions_name ON submissions (box, submission);
CREATE INDEX submissions_author ON submissions (box, author) WHERE author IS NOT NULL;

CREATE TABLE media (
    box uuid NOT NULL,
    submission uuid NOT NULL,
    sha256 bytea NOT NULL,
    kind text NOT NULL,
    bytes bigint,
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX media_sha256 ON media (sha256);

CREATE TABLE verdicts (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    submission uuid NOT NULL,
    number bigint NOT NULL,
    supersedes bigint,
    complete boolean NOT NULL,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL,
    tenant text NOT NULL,
    status text NOT NULL,
    severity text NOT NULL,
    action text NOT NULL,
    policy text NOT NULL,
    reasons jsonb NOT NULL,
    categories jsonb NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX verdicts_time ON verdicts (received_at);
CREATE INDEX verdicts_tenant ON verdicts (tenant, received_at);
CREATE INDEX verdicts_submission ON verdicts (submission);
-- Nearly everything is approved; people look for the rest.
CREATE INDEX verdicts_status ON verdicts (status, received_at) WHERE status <> 'approved';
CREATE INDEX verdicts_severity ON verdicts (severity, received_at) WHERE severity IN ('high', 'critical');

CREATE TABLE checkpoints (
    box uuid NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    epoch bigint NOT NULL,
    at bigint NOT NULL,
    bytes bytea NOT NULL,
    signature bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    verified_at timestamptz,
    receipt_at bigint,
    receipt bytea,
    PRIMARY KEY (box, sha256)
);
CREATE INDEX checkpoints_pending ON checkpoints (box, received_at) WHERE verified_at IS NULL;

CREATE TABLE holes (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL,
    from_seq bigint NOT NULL,
    from_chain bytea NOT NULL,
    to_seq bigint NOT NULL,
    to_chain bytea NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, epoch, lane, from_seq)
);

CREATE TABLE alarms (
    box uuid NOT NULL,
    alarm uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    code text NOT NULL,
    count bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    PRIMARY KEY (box, alarm)
);
-- The same again is counted, until somebody has seen to it.
CREATE UNIQUE INDEX alarms_open ON alarms (box, kind, code) WHERE resolved_at IS NULL;

-- Days that retention dropped: entries from before are missing by right.
CREATE TABLE retention (
    dropped_before date NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Makes the partitions of a day (UTC). They are attached, since a table made as a partition would lock out every reader of its parent.
CREATE FUNCTION ensure_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('weir partitions'));
    FOREACH parent IN ARRAY ARRAY['entries', 'sides', 'submissions', 'media', 'verdicts'] LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;

-- Drops the partitions of days before this one; how many tables went.
CREATE FUNCTION drop_days_before(day date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part record;
    gone integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('weir partitions'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relkind = 'p' AND p.relname IN ('entries', 'sides', 'submissions', 'media', 'verdicts')
          AND right(c.relname, 8) < to_char(day, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        gone := gone + 1;
    END LOOP;
    IF gone > 0 THEN
        INSERT INTO retention (dropped_before) VALUES (day);
    END IF;
    RETURN gone;
END $$;
