-- What the surgeon found, repaired and refused.

CREATE TABLE surgery (
    surgery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    repaired int NOT NULL,
    refused int NOT NULL,
    found jsonb NOT NULL,               -- [{"kind", "place", "problem", "state", "statements", "reason"}]
    times int NOT NULL DEFAULT 1,       -- the same again, start after start, stays one row
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz                -- what was refused is gone since; NULL: it still stands
);
CREATE INDEX surgery_open ON surgery (surgery_id) WHERE ended_at IS NULL;
