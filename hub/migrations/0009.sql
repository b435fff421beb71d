-- People: who they are, what waits for them, what they decided, and the journal of all that they did.

CREATE TABLE accounts (
    account uuid PRIMARY KEY,
    -- What one logs in with.
    name text NOT NULL UNIQUE CHECK (name = lower(name)),
    -- What colleagues see; may be a pseudonym.
    shown text NOT NULL,
    role text NOT NULL,
    -- Whose submissions it may see; nothing: all.
    tenants text[],
    -- Categories and regions that it is good at, for "next item".
    skills text[] NOT NULL DEFAULT '{}',
    -- argon2id, as a PHC string; nothing until the invitation is used.
    password text,
    -- Secret of the time-based codes (RFC 6238), and the last step that was used: a code is good once.
    totp bytea,
    totp_step bigint NOT NULL DEFAULT 0,
    -- How it wants to see media and colours.
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    disabled_at timestamptz,
    -- When somebody last confirmed that it still needs what it may.
    confirmed_at timestamptz NOT NULL DEFAULT now(),
    confirmed_by text NOT NULL,
    seen_at timestamptz
);

-- Lines by which an account's owner sets password and second factor: for the first time, or anew.
CREATE TABLE invitations (
    secret_sha256 bytea PRIMARY KEY CHECK (length(secret_sha256) = 32),
    account uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    -- Drawn with the invitation, and the account's once a code of it was right.
    totp bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE sessions (
    secret_sha256 bytea PRIMARY KEY CHECK (length(secret_sha256) = 32),
    account uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    -- Whether the second factor was shown; before that it opens nothing.
    whole boolean NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    remote text NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);

-- Attempts to log in that failed, by what they are counted by.
CREATE TABLE login_failures (
    counted text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_counted ON login_failures (counted, at);

-- What people did at the hub. Rows are only added: each is chained to the one before and signed by the hub's key.
CREATE TABLE audit (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    at timestamptz NOT NULL,
    -- Nothing where it was done on the hub's command line.
    account uuid,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    tenant text,
    -- The entry itself, JSON; the columns before are what people search by.
    record bytea NOT NULL,
    chain bytea NOT NULL CHECK (length(chain) = 32),
    signature bytea NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, seq DESC);
CREATE INDEX audit_subject ON audit (subject, seq DESC);
CREATE INDEX audit_action ON audit (action, seq DESC);
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit journal is only added to';
END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();

-- Where a box stands, for people who look after a region.
ALTER TABLE boxes ADD COLUMN region text NOT NULL DEFAULT '';

-- What waits for a person: a submission, or an author (then `subject` holds the author's number in its last 64 bits).
CREATE TABLE reviews (
    box uuid NOT NULL,
    subject uuid NOT NULL,
    tab text NOT NULL CHECK (tab IN ('flagged', 'held', 'reports', 'appeals', 'accounts')),
    tenant text NOT NULL,
    -- 0 safe to 4 critical.
    severity smallint NOT NULL,
    -- The gravest, and all.
    category text,
    categories text[] NOT NULL,
    -- The decision in force, where there is one.
    number bigint,
    reports integer NOT NULL DEFAULT 0,
    -- The decision that was appealed against.
    appealed bigint,
    since timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    open boolean NOT NULL DEFAULT true,
    escalated boolean NOT NULL DEFAULT false,
    assignee uuid,
    claimed_by uuid,
    claimed_until timestamptz,
    closed_at timestamptz,
    -- Why it came back, where a box did not do as was decided.
    refused text,
    PRIMARY KEY (box, subject)
);
CREATE INDEX reviews_queue ON reviews (tab, severity DESC, since, box, subject) WHERE open;
CREATE INDEX reviews_tenant ON reviews (tenant, tab, severity DESC, since) WHERE open;
CREATE INDEX reviews_assigned ON reviews (assignee) WHERE open AND assignee IS NOT NULL;

-- What people decided, and took back.
CREATE TABLE review_decisions (
    box uuid NOT NULL,
    subject uuid NOT NULL,
    decision uuid NOT NULL,
    tab text NOT NULL,
    tenant text NOT NULL,
    verb text NOT NULL CHECK (verb IN ('approve', 'reject', 'standing', 'dismiss')),
    -- The decision that was in force when it was made.
    seen bigint,
    category text,
    severity smallint,
    policy text NOT NULL,
    reason text NOT NULL,
    remember boolean NOT NULL,
    account uuid NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    -- The directive that tells the box.
    epoch bigint,
    lane text,
    seq bigint,
    -- Hashes that it listed for all boxes of the tenant: they go with it when it is taken back.
    listed jsonb NOT NULL DEFAULT '[]',
    undone_at timestamptz,
    undone_by uuid,
    -- The directive that tells the box to take it back.
    undo_epoch bigint,
    undo_seq bigint,
    PRIMARY KEY (box, decision)
);
CREATE INDEX review_decisions_subject ON review_decisions (box, subject, at DESC);
CREATE INDEX review_decisions_account ON review_decisions (account, at DESC);
CREATE INDEX review_decisions_time ON review_decisions (at);
CREATE INDEX review_decisions_listed ON review_decisions (tenant) WHERE listed <> '[]';
CREATE INDEX review_decisions_place ON review_decisions (box, epoch, lane, seq);
CREATE INDEX review_decisions_undo ON review_decisions (box, undo_epoch, lane, undo_seq) WHERE undo_seq IS NOT NULL;
-- Whatever goes wrong elsewhere: one decision about what was seen.
CREATE UNIQUE INDEX review_decisions_once ON review_decisions (box, subject, seen) WHERE undone_at IS NULL AND verb IN ('approve', 'reject');

CREATE TABLE review_comments (
    box uuid NOT NULL,
    subject uuid NOT NULL,
    comment uuid NOT NULL,
    account uuid NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    text text NOT NULL,
    PRIMARY KEY (box, comment)
);
CREATE INDEX review_comments_subject ON review_comments (box, subject, at);

-- Where reports about a submission stand in the journals: what was written in them is a side record of the reporter's.
CREATE TABLE review_reports (
    box uuid NOT NULL,
    subject uuid NOT NULL,
    epoch bigint NOT NULL,
    lane smallint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (box, subject, epoch, lane, seq)
);

-- What takes two people: asked for by one, granted or denied by another.
CREATE TABLE approvals (
    approval uuid PRIMARY KEY,
    action text NOT NULL,
    subject text NOT NULL,
    wanted jsonb NOT NULL,
    why text NOT NULL,
    asked_by uuid NOT NULL REFERENCES accounts,
    asked_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    settled_by uuid REFERENCES accounts,
    settled_at timestamptz,
    granted boolean,
    CHECK (asked_by <> settled_by)
);
CREATE INDEX approvals_waiting ON approvals (asked_at) WHERE settled_at IS NULL;

-- Entries of the tenants' own hash lists, as they were ordered; a box may have further ones of its own. Few against all else, and the same for all boxes.
CREATE TABLE list_entries (
    tenant text NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    -- Bits, for a PDQ; -1 for a SHA-256.
    distance smallint NOT NULL,
    negative boolean NOT NULL,
    category text,
    verified boolean NOT NULL,
    protected boolean NOT NULL,
    on_list boolean NOT NULL,
    -- Who ordered it last, and when it first came.
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, hash, distance, negative)
);
CREATE INDEX list_entries_time ON list_entries (tenant, ordered_at DESC);

-- Who looks at the queue learns within moments that it has changed.
CREATE FUNCTION tell_of_reviews() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM now) THEN
        PERFORM pg_notify('weir_reviews', '');
    END IF;
    RETURN NULL;
END $$;
-- Once a statement, and not where nothing came, went or changed its place: a notice holds up other commits for a moment.
CREATE TRIGGER tell_of_new_reviews AFTER INSERT ON reviews REFERENCING NEW TABLE AS now FOR EACH STATEMENT EXECUTE FUNCTION tell_of_reviews();
CREATE TRIGGER tell_of_changed_reviews AFTER UPDATE ON reviews REFERENCING NEW TABLE AS now FOR EACH STATEMENT EXECUTE FUNCTION tell_of_reviews();

-- What a submission consists of.
CREATE INDEX media_submission ON media (box, submission);

-- What one box decided last, also where it fell silent long ago.
CREATE INDEX verdicts_box ON verdicts (box, received_at);

-- People look for a category; of most there is little among very much.
DO $$
DECLARE
    slug text;
BEGIN
    FOREACH slug IN ARRAY ARRAY['sexual/minors', 'sexual', 'hate', 'harassment', 'violence', 'violence/graphic', 'self-harm', 'illicit',
                                'spam', 'profanity', 'underage', 'quality', 'listed', 'malware'] LOOP
        EXECUTE format('CREATE INDEX %I ON verdicts (received_at) WHERE jsonb_exists(categories, %L)',
            'verdicts_' || translate(slug, '/-', '__'), slug);
    END LOOP;
END $$;
