-- Asking a box: who may, who did, and the way to a box that is connected to another node.

-- What boxes answer shows people: its own right. Tokens from before have it not.
ALTER TABLE api_tokens ADD COLUMN requests boolean NOT NULL DEFAULT false;

-- Every request, written before the box is asked. Never what was answered.
CREATE TABLE request_log (
    box uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    submission uuid,
    medium integer,
    at_ms bigint,
    -- The token by which it was asked, and in whose name.
    token text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    -- `answered`, or why not; nothing while it is under way, and where whoever asked went before.
    outcome text,
    bytes bigint,
    PRIMARY KEY (box, id)
);
CREATE INDEX request_log_time ON request_log (asked_at);

-- Requests on their way to the node to which the box is connected. Unlogged, as the answers: neither is ever in the write-ahead log, on
-- a standby or in a base backup, and after a crash both are empty.
CREATE UNLOGGED TABLE box_requests (
    box uuid NOT NULL,
    id uuid NOT NULL,
    ask bytea NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    taken boolean NOT NULL DEFAULT false,
    PRIMARY KEY (box, id)
);

-- Deleted by who reads it; swept where nobody does. What is deleted is overwritten soon: the table is vacuumed after a few rows.
CREATE UNLOGGED TABLE box_answers (
    box uuid NOT NULL,
    id uuid NOT NULL,
    outcome text NOT NULL,
    content_type text NOT NULL,
    bytes bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, id)
) WITH (
    autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 10, toast.autovacuum_vacuum_scale_factor = 0
);
-- A preview is compressed already.
ALTER TABLE box_answers ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Bytes that boxes fetch, such as bundles of models, by their hash, in pieces of a mebibyte. Few, and the same for all boxes.
CREATE TABLE blobs (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    bytes bigint NOT NULL CHECK (bytes BETWEEN 1 AND 1073741824),
    name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE blob_pieces (
    sha256 bytea NOT NULL REFERENCES blobs ON DELETE CASCADE,
    n integer NOT NULL CHECK (n >= 0),
    bytes bytea NOT NULL CHECK (length(bytes) BETWEEN 1 AND 1048576),
    PRIMARY KEY (sha256, n)
);
ALTER TABLE blob_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
