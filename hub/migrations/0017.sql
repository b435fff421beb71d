-- What boxes say of their models and flags, as their journals said last. What they said before this schema is in their entries only.
CREATE TABLE box_models (
    box uuid NOT NULL,
    -- `NAME@VERSION`.
    model text NOT NULL,
    -- candidate, shadow, canary, active, retired.
    stage text NOT NULL,
    -- Why: bundle, command, superseded, drift, errors.
    cause text NOT NULL,
    -- The numbers on which a withdrawal rests: submissions, those of them that were not approved, those on which it failed; the first two
    -- of the version that it was held against. 0 where a person made the change.
    seen bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    control_seen bigint NOT NULL DEFAULT 0,
    control_refused bigint NOT NULL DEFAULT 0,
    -- Milliseconds since 1970 by the box's clock.
    at bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, model)
);

-- What became of a bundle that was ordered.
CREATE TABLE box_bundles (
    box uuid NOT NULL,
    -- The first 16 hexadecimal digits of its SHA-256.
    bundle text NOT NULL CHECK (length(bundle) = 16),
    installed boolean NOT NULL,
    -- `NAME@VERSION` where it is installed, else a code of docs/directives.md.
    what text NOT NULL,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, bundle)
);

CREATE TABLE box_flags (
    box uuid NOT NULL,
    -- As the box calls it: `NAME`, or `tenant/TENANT:NAME`.
    flag text NOT NULL,
    is_on boolean NOT NULL,
    at bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, flag)
);
