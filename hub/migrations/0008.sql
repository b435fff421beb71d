-- PDQs of media, so that near ones are found at the hub. Bits as PDQ's reference writes them; `place` is that of the medium in the submission, `n` the
-- hash's own in its entry: the first of a medium stands for it.
CREATE TABLE pdqs (
    box uuid NOT NULL,
    submission uuid NOT NULL,
    tenant text NOT NULL,
    place smallint NOT NULL,
    n smallint NOT NULL,
    pdq bit(256) NOT NULL,
    quality smallint,
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX pdqs_submission ON pdqs (box, submission);
CREATE INDEX pdqs_time ON pdqs USING brin (received_at);

-- The tables of a day, in one place.
CREATE FUNCTION day_tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['entries', 'sides', 'submissions', 'media', 'verdicts', 'pdqs']
$$;

CREATE OR REPLACE FUNCTION ensure_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('weir partitions'));
    FOREACH parent IN ARRAY day_tables() LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION drop_days_before(day date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part record;
    gone integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('weir partitions'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relkind = 'p' AND p.relname = ANY(day_tables()) AND right(c.relname, 8) < to_char(day, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        gone := gone + 1;
    END LOOP;
    IF gone > 0 THEN
        INSERT INTO retention (dropped_before) VALUES (day);
    END IF;
    RETURN gone;
END $$;

-- Days that are there already, for retention to find whole.
SELECT ensure_day(to_date(right(c.relname, 8), 'YYYYMMDD'))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'entries'::regclass;
