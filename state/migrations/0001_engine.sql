-- The engine's tables. What was asked is written once (invocation), what is still owed lives in a
-- slim row that dies (work), how it ended is appended (outcome).

CREATE SEQUENCE invocation_id;

CREATE TABLE function (                 -- a number for each function's name
    fn int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    quiet_seconds float8,               -- Merge; NULL: events are not merged
    cap_seconds float8
);

CREATE TABLE worker (                   -- one row per life of a worker process; never reused
    worker_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    solo boolean NOT NULL,              -- runs one attempt at a time: a crash can be blamed
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    seen_free_at timestamptz,           -- its session lock was found free then; NULL: it is held
    ended boolean NOT NULL DEFAULT false
);
CREATE INDEX worker_alive ON worker (worker_id) WHERE NOT ended;

CREATE TABLE invocation (               -- what was asked: append-only
    id bigint PRIMARY KEY,
    tenant int NOT NULL,
    fn int NOT NULL,
    lane bigint,                        -- hash of (namespace, key); NULL: it stands alone
    reply_to int,                       -- the waiting process; NULL: nobody waits
    event text NOT NULL,                -- JSON, checked before it came here
    created_at timestamptz NOT NULL
);

CREATE TABLE once (                     -- idempotency keys, kept for seven days
    tenant int NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,          -- of function and event: another one is a conflict
    id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, key)
);
CREATE INDEX once_age ON once (created_at);

-- A queue empties and fills again: giving its pages back would lock everybody out for nothing.
CREATE TABLE work (                     -- what is still owed: small, hot, deleted when done
    id bigint PRIMARY KEY,
    tenant int NOT NULL,
    fn int NOT NULL,
    lane bigint,
    run_at timestamptz NOT NULL,
    worker int,                         -- who runs it, when it has no lane
    epoch bigint NOT NULL DEFAULT 0,
    errors smallint NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    suspect boolean NOT NULL DEFAULT false  -- was in flight in a crash: runs alone until it ends
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX work_ready ON work (fn, tenant, run_at, id)
    WHERE worker IS NULL AND lane IS NULL AND NOT suspect;
CREATE INDEX work_suspect ON work (fn, run_at) WHERE worker IS NULL AND lane IS NULL AND suspect;
CREATE INDEX work_line ON work (tenant, lane, id) WHERE lane IS NOT NULL;
CREATE INDEX work_owned ON work (worker) WHERE worker IS NOT NULL;

CREATE TABLE lane (                     -- who may run the line, and under which epoch
    tenant int NOT NULL,
    lane bigint NOT NULL,
    fn int NOT NULL,                    -- the function of its head
    run_at timestamptz,                 -- when to look at it; NULL: nothing to do
    burst_until timestamptz,            -- Merge: the quiet time is not prolonged past this
    worker int,
    epoch bigint NOT NULL DEFAULT 0,
    suspect boolean NOT NULL DEFAULT false,  -- its head is one
    PRIMARY KEY (tenant, lane)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX lane_ready ON lane (fn, tenant, run_at)
    WHERE worker IS NULL AND run_at IS NOT NULL AND NOT suspect;
CREATE INDEX lane_suspect ON lane (fn, run_at)
    WHERE worker IS NULL AND run_at IS NOT NULL AND suspect;
CREATE INDEX lane_owned ON lane (worker) WHERE worker IS NOT NULL;

CREATE TABLE outcome (                  -- how it ended: append-only
    id bigint PRIMARY KEY,
    state "char" NOT NULL CHECK (state IN ('d', 'x', 'c')),  -- done, dead, cancelled
    epoch bigint NOT NULL,
    result text,                        -- JSON of a done one; else the reason
    done_at timestamptz NOT NULL
);
CREATE INDEX outcome_ended_badly ON outcome (done_at) WHERE state <> 'd';
CREATE INDEX outcome_age ON outcome USING brin (done_at);

CREATE TABLE failure (                  -- failed attempts, for people
    id bigint NOT NULL,
    attempt int NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,                 -- error, timeout, crash
    message text NOT NULL,
    PRIMARY KEY (id, attempt, at)
);

CREATE TABLE step (                     -- memo of paid or outside calls inside an invocation
    id bigint NOT NULL,
    name text NOT NULL,
    state "char" NOT NULL CHECK (state IN ('i', 'd')),  -- intent, done
    epoch bigint NOT NULL,
    result text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, name)
);

CREATE TABLE cancellation (             -- asked for while running; the worker obeys
    id bigint PRIMARY KEY,
    worker int NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE schedule (                 -- when each cron function fires next
    fn int PRIMARY KEY,
    expression text NOT NULL,
    zone text NOT NULL,
    next_at timestamptz NOT NULL
);
