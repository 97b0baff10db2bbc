-- Events without lane and key: what `dispatch()` (state/routines/20_dispatch.sql) does with them, as
-- one statement. Called for one event, a function of several costs an idle Postgres as much again.

-- name: plain
-- $1 tenants, $2 functions, $3 events, $4 reply_tos, $5 delays (the last two may be empty), $6 wake.
-- One row per event, in no promised order; ids are taken in the order of the events.
WITH d AS MATERIALIZED (
    SELECT nextval('invocation_id') AS id, (SELECT clock_timestamp()) AS t, u.*
    FROM unnest($1::int[], $2::int[], $3::text[], $4::int[], $5::float8[])
         u (tenant, fn, event, reply_to, delay)),
asked AS (
    INSERT INTO invocation (id, tenant, fn, reply_to, event, created_at)
    SELECT d.id, d.tenant, d.fn, d.reply_to, d.event, d.t FROM d),
changed AS (
    INSERT INTO change (tenant, topic, ids)
    SELECT d.tenant, 'invocation', array_agg(d.id) FROM d GROUP BY d.tenant)
INSERT INTO work AS w (id, tenant, fn, run_at, late_at)
SELECT d.id, d.tenant, d.fn, d.t + make_interval(secs => coalesce(d.delay, 0)),
       CASE WHEN (SELECT EXISTS (SELECT FROM function f
                                 WHERE f.fn = ANY ($2) AND f.deadline_seconds IS NOT NULL))
            THEN late(d.fn, d.t, d.delay) END
FROM d
RETURNING w.id, CASE WHEN $6::boolean THEN pg_notify('nexus_wake', w.fn::text) END;
