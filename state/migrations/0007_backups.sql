-- Back-ups that were made, and what was restored.

CREATE TABLE backup (
    backup_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at timestamptz NOT NULL,       -- of its snapshot
    file text NOT NULL,                 -- where it was written
    size_bytes bigint NOT NULL,
    key_ids text[] NOT NULL,            -- without these keys its credentials stay sealed
    gone_at timestamptz                 -- people said that nobody keeps it any more; NULL: kept
);
CREATE INDEX backup_kept ON backup (file) WHERE gone_at IS NULL;

CREATE TABLE restoration (
    restored_at timestamptz PRIMARY KEY,
    snapshot_at timestamptz NOT NULL,
    stopped_at timestamptz NOT NULL,    -- until then, what came after the snapshot may have been
                                        -- answered by the life that is gone
    file text NOT NULL
);
