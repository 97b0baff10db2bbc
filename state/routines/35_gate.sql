-- Gates: at most so many attempts of a function at once, for each key of a shop, or in all (of_shop is
-- -1). What is dispatched first goes in first; in front of the gate of all, shops take turns.
--
-- A gate's row is locked before its permits are counted or changed, by whoever admits and by whoever
-- gives back. Lock order: work and lanes, then gates, then rates; rows of others' work are only
-- taken where nobody holds them (SKIP LOCKED).

-- How many more may enter. A permit counts while its holder still owns the work it was taken for, so
-- those of a worker that was declared dead are free at once.
CREATE OR REPLACE FUNCTION room(f int, of_shop int, k bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT g.most - (
            SELECT count(*) FROM permit p
            JOIN work w ON w.id = p.id
            LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
            WHERE p.fn = g.fn AND p.tenant = g.tenant AND p.key = g.key AND p.worker IS NOT NULL
              AND CASE WHEN w.lane IS NULL THEN w.worker = p.worker AND w.epoch = p.epoch
                       ELSE x.worker = p.worker AND x.epoch = p.epoch END)
        FROM gate g WHERE g.fn = f AND g.tenant = of_shop AND g.key = k);
END $$;

-- The first n of those who wait at a gate and of these, who ask. Shops take turns, beginning after the
-- one that went in last; of each shop, what was dispatched first. What was called and did not come
-- (it is suspect, or nobody here serves it) holds nobody back.
CREATE OR REPLACE FUNCTION first_in_line(
    f int, of_shop int, k bigint, n bigint, ids bigint[], shops int[]
) RETURNS SETOF bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    since timestamptz := clock_timestamp() - interval '5 seconds';
    last int := (SELECT g.last_shop FROM gate g WHERE g.fn = f AND g.tenant = of_shop AND g.key = k);
    waiting int[] := '{}';               -- shops, in the order of their turns
    found_shop int;
    at int := last;
    wrapped boolean := false;
BEGIN
    WHILE cardinality(waiting) < n LOOP
        SELECT p.shop INTO found_shop FROM permit p JOIN work w ON w.id = p.id
        WHERE p.fn = f AND p.tenant = of_shop AND p.key = k AND p.worker IS NULL
          AND p.shop > at AND w.run_at > since ORDER BY p.shop LIMIT 1;
        IF found_shop IS NOT NULL AND NOT (wrapped AND found_shop > last) THEN
            waiting := waiting || found_shop;
            at := found_shop;
        ELSE
            EXIT WHEN wrapped OR last < 0;
            wrapped := true;
            at := -1;
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT z.id FROM (
        SELECT c.id, c.shop, row_number() OVER (PARTITION BY c.shop ORDER BY c.id) AS turn FROM (
            SELECT u.id, u.shop FROM unnest(ids, shops) u (id, shop)
            UNION ALL
            SELECT q.id, u.shop FROM unnest(waiting) u (shop) CROSS JOIN LATERAL (
                SELECT p.id FROM permit p JOIN work w ON w.id = p.id
                WHERE p.fn = f AND p.tenant = of_shop AND p.key = k AND p.worker IS NULL
                  AND p.shop = u.shop AND w.run_at > since
                ORDER BY p.id LIMIT n) q) c) z
    ORDER BY z.turn, z.shop <= last, z.shop LIMIT greatest(n, 0);
END $$;

-- Those of these (parallel arrays: work, its shop, and its gate) for whom there is room, behind those
-- who wait and are first.
CREATE OR REPLACE FUNCTION may_enter(
    ids bigint[], shops int[], fns int[], of_shops int[], keys bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    g record;
    free bigint;
    first bigint[];
    inside bigint[] := '{}';
BEGIN
    FOR g IN SELECT u.fn, u.tenant, u.key, array_agg(u.id) AS ids, array_agg(u.shop) AS shops
             FROM unnest(ids, shops, fns, of_shops, keys) u (id, shop, fn, tenant, key)
             GROUP BY 1, 2, 3 LOOP
        free := room(g.fn, g.tenant, g.key);
        IF free > 0 THEN
            first := ARRAY(SELECT l.id
                           FROM first_in_line(g.fn, g.tenant, g.key, free, g.ids, g.shops) l (id)
                           WHERE l.id = ANY (g.ids));
            inside := inside || first;
            IF g.tenant < 0 AND cardinality(first) > 0 THEN
                UPDATE gate e SET last_shop = g.shops[array_position(g.ids, first[cardinality(first)])]
                WHERE e.fn = g.fn AND e.tenant = g.tenant AND e.key = g.key;
            END IF;
        END IF;
    END LOOP;
    RETURN inside;
END $$;

-- Let those come who are first in line at these gates, as many as there is room for. Who waits for
-- the fleet too keeps its place at the gate of its key, and is called at the other one.
CREATE OR REPLACE FUNCTION call_in(fns int[], of_shops int[], keys bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := clock_timestamp();
    first bigint[];
    called int[];
    in_lanes int[];
BEGIN
    SELECT array_agg(l.id) INTO first FROM (
        SELECT u.fn, u.tenant, u.key, room(u.fn, u.tenant, u.key) AS free
        FROM unnest(fns, of_shops, keys) u (fn, tenant, key)) g,
        first_in_line(g.fn, g.tenant, g.key, g.free, '{}', '{}') l (id)
    WHERE g.tenant < 0
       OR NOT EXISTS (SELECT FROM permit p WHERE p.id = l.id AND p.tenant < 0 AND p.worker IS NULL);
    IF first IS NULL THEN
        RETURN;
    END IF;
    WITH due AS (
        UPDATE work k SET run_at = t
        WHERE k.id = ANY (ARRAY(
            SELECT q.id FROM work q
            WHERE q.id = ANY (first) AND q.lane IS NULL AND q.worker IS NULL AND q.run_at > t
            FOR UPDATE SKIP LOCKED))
        RETURNING k.fn)
    SELECT array_agg(DISTINCT d.fn) INTO called FROM due d;
    -- In a lane all that comes with it in one run (Merge) is due with it.
    WITH free AS (
        SELECT x.tenant, x.lane, q.id FROM work q
        JOIN lane x ON x.tenant = q.tenant AND x.lane = q.lane
        WHERE q.id = ANY (first) AND x.worker IS NULL AND q.run_at > t
        FOR UPDATE OF x SKIP LOCKED),
    due AS (
        UPDATE work k SET run_at = least(k.run_at, t)
        FROM free z WHERE k.tenant = z.tenant AND k.lane = z.lane AND k.id <= z.id),
    open AS (
        UPDATE lane x SET run_at = t
        FROM free z WHERE x.tenant = z.tenant AND x.lane = z.lane RETURNING x.fn)
    SELECT array_agg(DISTINCT o.fn) INTO in_lanes FROM open o;
    PERFORM pg_notify('nexus_wake', u.fn::text)
    FROM (SELECT unnest(called || in_lanes)) u (fn) WHERE u.fn IS NOT NULL;
END $$;

-- Ends or waits of attempts are stored: give back what they held, and call those who are next.
-- What has ended for good waits for nothing any more, either.
CREATE OR REPLACE FUNCTION give_back(closed bigint[], ended bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gf int[]; gt int[]; gk bigint[];
BEGIN
    DELETE FROM rate_slot v WHERE v.id = ANY (ended);
    SELECT array_agg(g.fn), array_agg(g.tenant), array_agg(g.key) INTO gf, gt, gk
    FROM (SELECT g.fn, g.tenant, g.key
          FROM (SELECT DISTINCT p.fn, p.tenant, p.key FROM permit p WHERE p.id = ANY (closed)) p
          JOIN gate g ON g.fn = p.fn AND g.tenant = p.tenant AND g.key = p.key
          ORDER BY g.fn, g.tenant, g.key FOR UPDATE OF g) g;
    DELETE FROM permit p WHERE p.id = ANY (closed) AND (p.worker IS NOT NULL OR p.id = ANY (ended));
    IF gf IS NOT NULL THEN
        PERFORM call_in(gf, gt, gk);
        PERFORM close_gates(gf, gt, gk);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION unused(f int, of_shop int, k bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Two questions: each has an index of its own.
    RETURN NOT EXISTS (SELECT FROM permit p WHERE p.fn = f AND p.tenant = of_shop AND p.key = k
                       AND p.worker IS NOT NULL)
       AND NOT EXISTS (SELECT FROM permit p WHERE p.fn = f AND p.tenant = of_shop AND p.key = k
                       AND p.worker IS NULL);
END $$;

-- Forget those of these gates that nobody uses. They are locked.
CREATE OR REPLACE FUNCTION close_gates(fns int[], of_shops int[], keys bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM gate g USING unnest(fns, of_shops, keys) u (fn, tenant, key)
    WHERE g.fn = u.fn AND g.tenant = u.tenant AND g.key = u.key
      AND unused(g.fn, g.tenant, g.key);
END $$;

-- Once a second: whoever should have been called and was not (the worker inside was killed, a row was
-- just locked) is called now. One process at a time does it.
CREATE OR REPLACE FUNCTION tend_gates() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gf int[]; gt int[]; gk bigint[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(7, 0) THEN
        RETURN;
    END IF;
    -- An answer that nobody waited for any more may have come after the end.
    DELETE FROM permit p WHERE NOT EXISTS (SELECT FROM work w WHERE w.id = p.id);
    SELECT array_agg(g.fn), array_agg(g.tenant), array_agg(g.key) INTO gf, gt, gk
    FROM gate g
    WHERE EXISTS (SELECT FROM permit p WHERE p.fn = g.fn AND p.tenant = g.tenant AND p.key = g.key
                  AND p.worker IS NULL);
    PERFORM call_in(gf, gt, gk);
    SELECT array_agg(g.fn), array_agg(g.tenant), array_agg(g.key) INTO gf, gt, gk
    FROM (SELECT g.fn, g.tenant, g.key FROM gate g WHERE unused(g.fn, g.tenant, g.key)
          FOR UPDATE SKIP LOCKED) g;
    PERFORM close_gates(gf, gt, gk);
END $$;
