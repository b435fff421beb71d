-- Directives: what the hub tells its boxes to do, and what they say came of it.

-- The tenants that boxes serve. The secret is the same on all their boxes: an author has one name on them.
CREATE TABLE tenants (
    tenant text PRIMARY KEY,
    author_secret bytea NOT NULL CHECK (length(author_secret) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE box_tenants (
    box uuid NOT NULL,
    tenant text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, tenant)
);

-- What a box that enrols by it is to serve.
ALTER TABLE enrolment_tokens ADD COLUMN tenants text[] NOT NULL DEFAULT '{}';

-- Lives of the journal of directives: a restored hub begins another.
CREATE TABLE directive_epochs (
    epoch bigint PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    cause text NOT NULL CHECK (cause IN ('fresh', 'restored')),
    began_at timestamptz NOT NULL DEFAULT now()
);

-- The last number of each lane. Who orders holds its row: numbers are committed in their order.
CREATE TABLE directive_lanes (
    epoch bigint NOT NULL,
    lane text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    PRIMARY KEY (epoch, lane)
);

CREATE TABLE directives (
    epoch bigint NOT NULL,
    lane text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    bytes bytea NOT NULL,
    -- One by each key that the hub had, oldest first.
    signatures bytea[] NOT NULL,
    PRIMARY KEY (epoch, lane, seq)
);
CREATE INDEX directives_time ON directives (ordered_at);

-- What boxes' journals say of directives. The proof is the entry, of the critical lane of that box.
CREATE TABLE directive_receipts (
    box uuid NOT NULL,
    epoch bigint NOT NULL,
    lane text NOT NULL,
    seq bigint NOT NULL,
    refused text,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (box, epoch, lane, seq)
);
CREATE INDEX directive_receipts_place ON directive_receipts (epoch, lane, seq);

-- Who listens learns within moments which lane has grown, or that a box follows other lanes.
CREATE FUNCTION tell_of_directive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('weir_directives', NEW.lane);
    RETURN NEW;
END $$;
CREATE TRIGGER tell_of_directive AFTER INSERT ON directives FOR EACH ROW EXECUTE FUNCTION tell_of_directive();
CREATE FUNCTION tell_of_tenants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('weir_directives', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_tenants AFTER INSERT OR DELETE ON box_tenants FOR EACH STATEMENT EXECUTE FUNCTION tell_of_tenants();
