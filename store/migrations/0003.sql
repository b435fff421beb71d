-- Schema 3: replication. forked_at: the hub has another journal under this epoch. carried_seq: up to where a forked lane was told again in a
-- later epoch. receipt: the hub's word that it verified the checkpoint.
ALTER TABLE epochs ADD COLUMN forked_at INTEGER;
ALTER TABLE lanes ADD COLUMN carried_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoints ADD COLUMN receipt BLOB;
