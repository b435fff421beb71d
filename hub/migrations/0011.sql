-- Policies and hash lists: what was released to whom, drafts, and roll-outs that go stage by stage.

-- What releases say, as they were ordered; from the directives, which keep the signed bytes.
CREATE TABLE releases (
    epoch bigint NOT NULL,
    lane text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('policy', 'bank')),
    name text NOT NULL,
    version bigint NOT NULL,
    -- Empty where it withdraws.
    content text NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, lane, seq)
);
CREATE INDEX releases_name ON releases (kind, name, lane, ordered_at DESC);
CREATE INDEX directives_releases ON directives (epoch, lane, seq) WHERE kind = 'release';

-- Policies that somebody writes. Each saving is a row of its own.
CREATE TABLE drafts (
    draft uuid PRIMARY KEY,
    name text NOT NULL,
    content text NOT NULL,
    note text NOT NULL DEFAULT '',
    account uuid NOT NULL REFERENCES accounts (account),
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX drafts_time ON drafts (at DESC);

CREATE TABLE rollouts (
    rollout uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('policy', 'bank')),
    name text NOT NULL,
    version bigint NOT NULL,
    content text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'paused', 'done', 'back')),
    note text NOT NULL DEFAULT '',
    -- Who brought it: an account, or nothing where it came by the command line.
    account uuid REFERENCES accounts (account),
    at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rollouts_time ON rollouts (at DESC);

-- Signed beforehand by the release key: the way there, and the way back.
CREATE TABLE rollout_stages (
    rollout uuid NOT NULL REFERENCES rollouts (rollout) ON DELETE CASCADE,
    stage smallint NOT NULL,
    lane text NOT NULL,
    go_bytes bytea NOT NULL,
    go_signature bytea NOT NULL,
    back_bytes bytea NOT NULL,
    back_signature bytea NOT NULL,
    -- Where the directives stand, once they were given.
    go_epoch bigint,
    go_seq bigint,
    go_at timestamptz,
    go_by text,
    back_epoch bigint,
    back_seq bigint,
    back_at timestamptz,
    back_by text,
    PRIMARY KEY (rollout, stage)
);

-- Whether an item was given to its assignee in turn, by the hub itself: then it goes to somebody else once they have left.
ALTER TABLE reviews ADD COLUMN in_turn boolean NOT NULL DEFAULT false;
