-- Certificates: every one that was ever given, to whom, on whose word and from where. Rows are only added.
CREATE TABLE certificates (
    box uuid NOT NULL,
    serial bytea NOT NULL,
    event text NOT NULL CHECK (event IN ('enrolled', 'renewed')),
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    -- The name of the token, where one was used.
    token text,
    release text NOT NULL,
    remote text NOT NULL,
    PRIMARY KEY (box, serial)
);
