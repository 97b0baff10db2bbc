-- Budgets: what may be spent, what is spent, and what calls under way may still spend.

ALTER TABLE agent ADD COLUMN tokens_per_conversation bigint;  -- of one day; NULL: no limit

CREATE TABLE budget (                     -- of tokens and of one day; made by its first reservation
    tenant int NOT NULL,
    day date NOT NULL,                  -- by the shop's own clock
    scope text NOT NULL CHECK (scope IN ('day', 'conversation')),
    subject bigint NOT NULL,            -- the conversation; 0: the whole shop
    most bigint NOT NULL,               -- the limit, as the last reservation had it
    spent bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    PRIMARY KEY (tenant, day, scope, subject)
);

CREATE TABLE reservation (                -- paid calls of runs that have not ended; gone with the run
    id bigint NOT NULL,                 -- the invocation
    name text NOT NULL,                 -- of the call within it
    tenant int NOT NULL,
    holder bigint NOT NULL,             -- who makes it: a random number of each try
    reserved bigint NOT NULL,           -- 0: settled
    spent bigint NOT NULL DEFAULT 0,    -- by this call, in every attempt that made it
    most bigint,                        -- limit of the whole run; NULL: none
    days date[] NOT NULL,               -- with scopes and subjects: in which budgets
    scopes text[] NOT NULL,
    subjects bigint[] NOT NULL,
    PRIMARY KEY (id, name)
);

-- What was spent today already. (Not the first row of a table: it belongs to those that are there.)
WITH today AS (
    SELECT s.tenant, (clock_timestamp() AT TIME ZONE s.zone)::date AS day,
           date_trunc('day', clock_timestamp() AT TIME ZONE s.zone) AT TIME ZONE s.zone AS since
    FROM shop s),
kept AS (
    INSERT INTO budget (tenant, day, scope, subject, most, spent)
    SELECT d.tenant, d.day, 'day', 0, coalesce(a.tokens_per_day, 5000000),
           sum(t.input_tokens + t.output_tokens)
    FROM today d
    JOIN turn t ON t.tenant = d.tenant AND t.started_at >= d.since
    LEFT JOIN agent a ON a.tenant = d.tenant
    GROUP BY d.tenant, d.day, a.tokens_per_day)
SELECT 1;
