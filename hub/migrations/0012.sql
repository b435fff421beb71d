-- Passkeys, what they are asked, and secrets that the database alone does not tell.

-- Passkeys (WebAuthn) of accounts.
CREATE TABLE passkeys (
    credential bytea PRIMARY KEY CHECK (length(credential) BETWEEN 16 AND 1023),
    account uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    -- What its owner calls it.
    name text NOT NULL,
    -- The name of the hub that it was made for.
    rp text NOT NULL,
    -- A COSE key, as the authenticator gave it.
    public_key bytea NOT NULL,
    counter bigint NOT NULL,
    -- Whether it may be copied to other devices of its owner, and whether it was.
    may_move boolean NOT NULL,
    moved boolean NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX passkeys_account ON passkeys (account, added_at);

-- What authenticators were asked to sign and have not yet: each is good once, for one purpose, to whoever has the cookie.
CREATE TABLE challenges (
    challenge_sha256 bytea PRIMARY KEY CHECK (length(challenge_sha256) = 32),
    purpose text NOT NULL CHECK (purpose IN ('add', 'second', 'alone')),
    -- The hash of the cookie.
    cookie bytea NOT NULL CHECK (length(cookie) = 32),
    -- The network that asked: of those without a name at most so many wait.
    network text NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX challenges_network ON challenges (network);
CREATE INDEX challenges_cookie ON challenges (cookie);

-- Secrets of the second factor, sealed by a key that the hub's key file gives. `totp` is what
-- there was before: it is sealed when the hub starts.
ALTER TABLE accounts ADD COLUMN totp_sealed bytea;
ALTER TABLE invitations ADD COLUMN totp_sealed bytea, ALTER COLUMN totp DROP NOT NULL;

-- When the audit journal last said that somebody failed to log in: at the password, or further.
ALTER TABLE accounts ADD COLUMN failure_noted_at timestamptz, ADD COLUMN grave_failure_noted_at timestamptz;
