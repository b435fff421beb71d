-- Proofs of single entries: which checkpoint comes next behind an entry, and by which key its receipt is.

CREATE INDEX checkpoints_verified ON checkpoints (box, epoch, verified_at) WHERE verified_at IS NOT NULL;

-- The public half of every key by which this hub has signed receipts, since when. Few, and the same for all boxes.
CREATE TABLE hub_keys (
    public_key bytea PRIMARY KEY CHECK (length(public_key) = 32),
    since timestamptz NOT NULL DEFAULT now()
);
