-- Shops, alerts, the change feed, the audit log, credentials, sessions.

CREATE TABLE shop (
    tenant int PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO shop (tenant, name) VALUES (0, 'installation');

CREATE TABLE alert (                    -- what a person has to see
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL,
    kind text NOT NULL,
    subject bigint NOT NULL,            -- an invocation's id, for kind 'dead'
    message text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at timestamptz,
    resolved_by text
);
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE resolved_at IS NULL;

CREATE TABLE change (                   -- what happened, for those who watch; resumable by (xid, change_id)
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    tenant int NOT NULL,
    topic text NOT NULL,
    ids bigint[] NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, change_id)
);

CREATE UNLOGGED TABLE watcher (         -- who follows the feed; nobody: no NOTIFY
    watcher_id int PRIMARY KEY,
    until timestamptz NOT NULL
);

CREATE TABLE audit_log (                -- who did what; each row seals the one before
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    tenant int,                         -- NULL: the whole installation
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL
);

CREATE TABLE credential (
    credential_id uuid PRIMARY KEY,
    tenant int NOT NULL,
    purpose text NOT NULL,
    name text NOT NULL,
    key_id text NOT NULL,               -- which key of the ring sealed it
    ciphertext bytea NOT NULL,
    version int NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'sealed', 'revoked')),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, purpose, name)
);
CREATE INDEX credential_key ON credential (key_id);

CREATE TABLE session (                  -- logins; only the hash of the cookie is kept
    digest bytea PRIMARY KEY,
    csrf text NOT NULL,
    token_fingerprint text NOT NULL,    -- of the ADMIN_TOKEN that opened it: rotating ends it
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
