-- Store events: one call, one transaction, any number of them.
--
-- Lanes are locked in (tenant, lane) order, and ids are taken only then: within a lane, the order
-- of ids is the order of commits. Returns one row per event, in order. fate: 'n' new, 'r' repeated
-- (the key is known, id is the earlier invocation), 'k' conflict (the key was used otherwise).
-- Of the parallel arrays, those after fns may be empty where they hold nothing but NULL; a delay
-- that is NULL is none.
--
-- A delay below 0 is a head start: the event stands in line as if it had come that much earlier.

-- After when an event is too late to start; NULL: never.
CREATE OR REPLACE FUNCTION late(f int, t timestamptz, delay float8)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT t + make_interval(secs => greatest(delay, 0) + deadline_seconds)
    FROM function WHERE fn = f
$$;

CREATE OR REPLACE FUNCTION dispatch(
    tenants int[], fns int[], lanes bigint[], events text[], reply_tos int[],
    delays float8[], caps float8[], keys text[], fingerprints text[], wake boolean
) RETURNS TABLE (id bigint, fate "char") LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
    laned boolean := num_nonnulls(VARIADIC lanes) > 0;
    keyed boolean := num_nonnulls(VARIADIC keys) > 0;
    new_ids bigint[];
    fates "char"[];
    limited boolean := EXISTS (SELECT FROM function f
                               WHERE f.fn = ANY (fns) AND f.deadline_seconds IS NOT NULL);
BEGIN
    IF laned THEN
        t := statement_timestamp();
        INSERT INTO lane AS x (tenant, lane, fn, run_at, burst_until)
        SELECT DISTINCT ON (u.tenant, u.lane) u.tenant, u.lane, u.fn,
               t + make_interval(secs => coalesce(u.delay, 0)), t + make_interval(secs => u.cap)
        FROM unnest(tenants, lanes, fns, delays, caps) WITH ORDINALITY
             u (tenant, lane, fn, delay, cap, place)
        WHERE u.lane IS NOT NULL
        ORDER BY u.tenant, u.lane, u.place
        ON CONFLICT (tenant, lane) DO UPDATE SET
            fn = CASE WHEN x.run_at IS NULL THEN excluded.fn ELSE x.fn END,
            run_at = CASE WHEN x.run_at IS NULL THEN excluded.run_at
                          ELSE least(x.burst_until, excluded.run_at) END,
            burst_until = CASE WHEN x.run_at IS NULL THEN excluded.burst_until
                               ELSE x.burst_until END
        -- Not so: the row is locked, not rewritten. An owned lane is looked at when it is released.
        WHERE x.worker IS NULL
          AND (x.run_at IS NULL OR (excluded.burst_until IS NOT NULL AND x.burst_until > t));
    END IF;

    IF laned AND num_nonnulls(VARIADIC caps) > 0 THEN
        -- Supersede, Steer: the running attempt learns of it when this commits. The lane is locked:
        -- if nobody owns it now, whoever claims it sees the event.
        PERFORM pg_notify('nexus_wake', format('newer:%s:%s:%s', x.worker, x.tenant, x.lane))
        FROM (SELECT DISTINCT u.tenant, u.lane FROM unnest(tenants, lanes, fns) u (tenant, lane, fn)
              JOIN function f ON f.fn = u.fn AND f.burst IN ('s', 't')) u
        JOIN lane x ON x.tenant = u.tenant AND x.lane = u.lane AND x.worker IS NOT NULL;
    END IF;

    t := clock_timestamp();
    IF NOT keyed THEN
        RETURN QUERY
        WITH d AS MATERIALIZED (
            SELECT nextval('invocation_id') AS id, u.* FROM
                unnest(tenants, fns, lanes, events, reply_tos, delays)
                u (tenant, fn, lane, event, reply_to, delay)),
        asked AS (
            INSERT INTO invocation (id, tenant, fn, lane, reply_to, event, created_at)
            SELECT d.id, d.tenant, d.fn, d.lane, d.reply_to, d.event, t FROM d),
        changed AS (
            INSERT INTO change (tenant, topic, ids)
            SELECT d.tenant, 'invocation', array_agg(d.id) FROM d GROUP BY d.tenant)
        INSERT INTO work AS w (id, tenant, fn, lane, run_at, late_at)
        SELECT d.id, d.tenant, d.fn, d.lane, t + make_interval(secs => coalesce(d.delay, 0)),
               CASE WHEN limited THEN late(d.fn, t, d.delay) END
        FROM d
        RETURNING w.id, 'n'::"char";
    ELSE
        -- A key that another transaction is just storing makes us wait for its end.
        WITH mine AS (
            INSERT INTO once AS o (tenant, key, fingerprint, id)
            SELECT u.tenant, u.key, u.fingerprint, nextval('invocation_id')
            FROM unnest(tenants, keys, fingerprints) WITH ORDINALITY
                 u (tenant, key, fingerprint, place)
            WHERE u.key IS NOT NULL ORDER BY u.tenant, u.key, u.place
            ON CONFLICT DO NOTHING RETURNING o.id)
        SELECT array_agg(mine.id) INTO new_ids FROM mine;
        -- The next statement sees rows that were committed while we waited.
        SELECT array_agg(coalesce(o.id, nextval('invocation_id')) ORDER BY u.place),
               array_agg(CASE WHEN u.key IS NULL THEN 'n'
                              WHEN o.fingerprint <> u.fingerprint THEN 'k'
                              WHEN o.id = ANY (new_ids) AND u.place = u.first THEN 'n'
                              ELSE 'r' END::"char" ORDER BY u.place)
        INTO new_ids, fates
        FROM (SELECT v.*, min(v.place) OVER (PARTITION BY v.tenant, v.key) AS first
              FROM unnest(tenants, keys, fingerprints) WITH ORDINALITY
                   v (tenant, key, fingerprint, place)) u
        LEFT JOIN once o ON o.tenant = u.tenant AND o.key = u.key;

        WITH d AS MATERIALIZED (
            SELECT u.* FROM unnest(new_ids, fates, tenants, fns, lanes, events, reply_tos, delays)
                u (id, fate, tenant, fn, lane, event, reply_to, delay) WHERE u.fate = 'n'),
        asked AS (
            INSERT INTO invocation (id, tenant, fn, lane, reply_to, event, created_at)
            SELECT d.id, d.tenant, d.fn, d.lane, d.reply_to, d.event, t FROM d),
        changed AS (
            INSERT INTO change (tenant, topic, ids)
            SELECT d.tenant, 'invocation', array_agg(d.id) FROM d GROUP BY d.tenant)
        INSERT INTO work (id, tenant, fn, lane, run_at, late_at)
        SELECT d.id, d.tenant, d.fn, d.lane, t + make_interval(secs => coalesce(d.delay, 0)),
               CASE WHEN limited THEN late(d.fn, t, d.delay) END
        FROM d;
        IF 'r' = ANY (fates) AND num_nonnulls(VARIADIC reply_tos) > 0 THEN
            -- Whoever repeats a key and waits is told of the end like the first one.
            INSERT INTO joined (id, reply_to)
            SELECT DISTINCT u.id, u.reply_to FROM unnest(new_ids, fates, reply_tos)
                u (id, fate, reply_to)
            JOIN work k ON k.id = u.id
            JOIN invocation a ON a.id = u.id AND a.reply_to IS DISTINCT FROM u.reply_to
            WHERE u.fate = 'r' AND u.reply_to IS NOT NULL
            ORDER BY u.id, u.reply_to ON CONFLICT DO NOTHING;
        END IF;
        RETURN QUERY SELECT u.id, u.fate FROM unnest(new_ids, fates) u (id, fate);
    END IF;
    IF wake THEN
        PERFORM pg_notify('nexus_wake', f::text) FROM (SELECT DISTINCT unnest(fns)) u (f);
    END IF;
END $$;
