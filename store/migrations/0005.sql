-- Schema 5: bundles of models that the hub ordered and that came to nothing yet.
CREATE TABLE wanted_bundles (
    n INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL, at INTEGER NOT NULL
);
