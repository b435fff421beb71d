-- Logging in by a provider of identities (OpenID Connect).

-- Who an account is at a provider. An account is made here and linked: nobody gets one by having an identity elsewhere.
CREATE TABLE oidc_links (
    issuer text NOT NULL,
    -- The provider's own name of a person, which it gives nobody else; never an address of theirs.
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    account uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    linked_at timestamptz NOT NULL DEFAULT now(),
    linked_by text NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (issuer, subject),
    UNIQUE (account, issuer)
);

-- Who was sent to the provider and has not come back: each is good once, for the browser that has the cookie.
CREATE TABLE oidc_flows (
    state_sha256 bytea PRIMARY KEY CHECK (length(state_sha256) = 32),
    cookie bytea NOT NULL CHECK (length(cookie) = 32),
    -- The session that wants its account linked; nothing of who wants in.
    session bytea CHECK (length(session) = 32),
    -- Where to go after it.
    next text NOT NULL,
    -- The network that asked: of those who want in at most so many wait.
    network text NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX oidc_flows_network ON oidc_flows (network);
CREATE INDEX oidc_flows_cookie ON oidc_flows (cookie);

-- By what a session was opened, as the audit journal tells it.
ALTER TABLE sessions ADD COLUMN means text NOT NULL DEFAULT 'password';
