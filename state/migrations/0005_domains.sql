-- Domains of shops, under which the public door answers too.

CREATE TABLE domain (
    domain_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    name text NOT NULL UNIQUE           -- A-labels in small letters; *.… : every name one level below
        CHECK (name ~ '^(\*\.)?([a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}$' AND length(name) <= 253),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz              -- when it was first seen in Caddy; NULL: not yet
);
CREATE INDEX domain_shop ON domain (tenant);

CREATE TABLE edge (                     -- whether any gateway reaches Caddy's admin API
    id int PRIMARY KEY CHECK (id = 1),
    reached_at timestamptz              -- NULL: never
);
INSERT INTO edge VALUES (1, NULL);
