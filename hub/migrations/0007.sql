-- The hub put back to a backup: how it is noticed, and what it had ordered since.

-- Lives of the database: of which cluster, on which timeline. Postgres begins another timeline with every restore and every promotion of
-- a replica; a copy into another cluster has another name.
CREATE TABLE database_lives (
    system bigint NOT NULL,
    timeline integer NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    began_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (system, timeline, number)
);
CREATE FUNCTION database_life(OUT system bigint, OUT timeline integer) LANGUAGE sql AS $$
    SELECT c.system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer FROM pg_control_system() c
$$;
INSERT INTO database_lives (system, timeline) SELECT system, timeline FROM database_life();

-- Directives that the hub signed and does not know: a box had a copy beside its receipt. An erasure was given again, as which directive.
CREATE TABLE lost_directives (
    epoch bigint NOT NULL,
    lane text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL,
    bytes bytea NOT NULL,
    told_by uuid NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    again_epoch bigint,
    again_seq bigint,
    PRIMARY KEY (epoch, lane, seq)
);
