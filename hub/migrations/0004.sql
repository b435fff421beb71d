-- Who is there. For people to look at: nothing is decided by it.

-- Nodes of the hub, as long as they run: each says so every few seconds. Rows of many boxes hang on it, so it is a reference table.
CREATE TABLE nodes (
    node uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Boxes that are connected to a node.
CREATE TABLE connections (
    box uuid NOT NULL,
    node uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    path text NOT NULL CHECK (path IN ('quic', 'mqtt')),
    remote text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box, node, path)
);
CREATE INDEX connections_node ON connections (node);

-- What boxes say of themselves at the broker, the last of each.
CREATE TABLE presence (
    box uuid PRIMARY KEY,
    -- Nothing where it has only sent telemetry.
    online boolean,
    path text CHECK (path IN ('quic', 'mqtt')),
    since timestamptz NOT NULL DEFAULT now(),
    telemetry text CHECK (octet_length(telemetry) <= 8192),
    telemetry_at timestamptz
);
