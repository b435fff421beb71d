-- The language in which somebody reads the screens (nothing: as their browser says), and whether single keys do something for them.

ALTER TABLE accounts
    ADD COLUMN language text CHECK (language IN ('en', 'fr', 'sw', 'am')),
    ADD COLUMN keys boolean NOT NULL DEFAULT true;
