-- Schema 4: directives of the hub. directed: how far each lane was taken, in each life of the hub's journal; lane is the address in words.
CREATE TABLE directed (
    epoch INTEGER NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, refused TEXT, at INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane)
) WITHOUT ROWID;
-- Policies of the hub in force: kind and name say of what, scope is the address to which it was released.
CREATE TABLE releases (
    kind TEXT NOT NULL, name TEXT NOT NULL, scope TEXT NOT NULL, version INTEGER NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (kind, name, scope)
) WITHOUT ROWID;
-- Changes of lists that are still to be matched with what was seen.
CREATE TABLE rematches (
    n INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, added INTEGER NOT NULL, negative INTEGER NOT NULL, hash BLOB NOT NULL,
    distance INTEGER, label TEXT NOT NULL, protected INTEGER NOT NULL
);
