-- Who may run what next. Every claim writes (worker, epoch + 1): the fence of all that follows.

-- As they were before only shops with something due were asked.
DROP FUNCTION IF EXISTS ready_shops(int, int, int, boolean);
-- As they were before shops were weighed by what their attempts cost.
DROP FUNCTION IF EXISTS ready_shops(int, int, int, boolean, timestamptz);
DROP FUNCTION IF EXISTS claim_work(int, int, int, int, timestamptz);
DROP FUNCTION IF EXISTS claim_lanes(int, int, int, int, timestamptz);
-- An index keeps what was claimed or is done until the next VACUUM, and all of that is older than what
-- waits: a search that began with the oldest of all would read the whole backlog that is behind us,
-- again for each claim. So everything here asks for nothing that was due before `oldest`, when the
-- oldest of what waits was due.

-- Shops with due work of a function, in a ring after the one served last, by index probes; without
-- those that are `behind`.
CREATE OR REPLACE FUNCTION ready_shops(
    f int, n int, last int, behind int[], in_lanes boolean, oldest timestamptz, t timestamptz
) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    shops int[] := '{}';
    at int := last;
    found_shop int;
    due_at timestamptz;
    wrapped boolean := false;
    -- From Postgres 18 on, an index scan skips the shops that have nothing up to then; before, it
    -- would read all they have for tomorrow, and it is faster to look at one after the other.
    latest timestamptz := CASE WHEN current_setting('server_version_num')::int >= 180000
                               THEN t ELSE 'infinity' END;
BEGIN
    LOOP
        IF in_lanes THEN
            SELECT q.tenant, q.run_at INTO found_shop, due_at FROM lane q
            WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
              AND q.tenant > at AND q.run_at >= oldest AND q.run_at <= latest
            ORDER BY q.tenant, q.run_at LIMIT 1;
        ELSE
            SELECT q.tenant, q.run_at INTO found_shop, due_at FROM work q
            WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
              AND q.tenant > at AND q.run_at >= oldest AND q.run_at <= latest
            ORDER BY q.tenant, q.run_at LIMIT 1;
        END IF;
        IF found_shop IS NULL OR (wrapped AND found_shop > last) THEN
            EXIT WHEN wrapped OR last < 0;
            wrapped := true;
            at := -1;
        ELSE
            at := found_shop;
            CONTINUE WHEN due_at > t OR found_shop = ANY (behind);
            shops := shops || found_shop;
            EXIT WHEN cardinality(shops) >= least(n, 100);
        END IF;
    END LOOP;
    RETURN shops;
END $$;

-- Take up to n due invocations that have no lane. When there are more, fair between shops: an
-- equal share each; after them those that are `behind`, since they have had more than others, with the
-- shares the worker works out for them, in its order; then whatever is left for anybody. Shares of
-- NULL close it to those that are `behind`: they have places already, and each of the others gets one.
CREATE OR REPLACE FUNCTION claim_work(
    w int, f int, n int, last int, behind int[], behind_shares int[],
    oldest timestamptz, t timestamptz
) RETURNS SETOF work LANGUAGE plpgsql AS $$
DECLARE
    closed boolean := num_nulls(VARIADIC behind_shares) > 0;
    due bigint[];
    shops int[];
    shares int[];
    taken int;
BEGIN
    SELECT array_agg(z.id) INTO due FROM (
        SELECT q.id FROM work q
        WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
          AND q.run_at >= oldest AND q.run_at <= t AND q.tenant >= 0
        ORDER BY q.run_at LIMIT n + 1) z;
    IF due IS NULL THEN
        RETURN;
    ELSIF cardinality(due) <= n AND NOT closed THEN
        RETURN QUERY
        UPDATE work k SET worker = w, epoch = k.epoch + 1
        WHERE k.id = ANY (ARRAY(
            SELECT q.id FROM work q
            WHERE q.id = ANY (due) AND q.worker IS NULL AND NOT q.suspect FOR UPDATE SKIP LOCKED))
        RETURNING k.*;
        RETURN;
    END IF;
    shops := ready_shops(f, n, last, behind, false, oldest, t);
    IF closed THEN
        shares := array_fill(1, ARRAY[cardinality(shops)]);
    ELSE
        shares := array_fill(ceil(n::float8 / greatest(cardinality(shops), 1))::int,
                             ARRAY[cardinality(shops)]) || behind_shares;
        shops := shops || behind;
    END IF;
    RETURN QUERY
    UPDATE work k SET worker = w, epoch = k.epoch + 1
    WHERE k.id = ANY (ARRAY(
        SELECT z.id FROM unnest(shops, shares) u (tenant, share) CROSS JOIN LATERAL (
            SELECT q.id FROM work q
            WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
              AND q.tenant = u.tenant AND q.run_at >= oldest AND q.run_at <= t
            ORDER BY q.run_at, q.id LIMIT u.share FOR UPDATE SKIP LOCKED) z LIMIT n))
    RETURNING k.*;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken < n AND cardinality(shops) > 1 AND NOT closed THEN
        RETURN QUERY
        UPDATE work k SET worker = w, epoch = k.epoch + 1
        WHERE k.id = ANY (ARRAY(
            SELECT z.id FROM unnest(shops) u (tenant) CROSS JOIN LATERAL (
                SELECT q.id FROM work q
                WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
                  AND q.tenant = u.tenant AND q.run_at >= oldest AND q.run_at <= t
                ORDER BY q.run_at, q.id LIMIT n - taken FOR UPDATE SKIP LOCKED) z
            LIMIT n - taken))
        RETURNING k.*;
    END IF;
END $$;

-- Take up to n due lanes, fair between shops in the same way.
CREATE OR REPLACE FUNCTION claim_lanes(
    w int, f int, n int, last int, behind int[], behind_shares int[],
    oldest timestamptz, t timestamptz
) RETURNS SETOF lane LANGUAGE plpgsql AS $$
DECLARE
    closed boolean := num_nulls(VARIADIC behind_shares) > 0;
    due int;
    shops int[];
    shares int[];
    taken int;
BEGIN
    SELECT count(*) INTO due FROM (
        SELECT FROM lane q
        WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
          AND q.run_at >= oldest AND q.run_at <= t AND q.tenant >= 0 LIMIT n + 1) q;
    IF due = 0 THEN
        RETURN;
    ELSIF due <= n AND NOT closed THEN
        RETURN QUERY
        UPDATE lane x SET worker = w, epoch = x.epoch + 1
        FROM (SELECT q.tenant, q.lane FROM lane q
              WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
                AND q.run_at >= oldest AND q.run_at <= t AND q.tenant >= 0
              ORDER BY q.run_at LIMIT n FOR UPDATE SKIP LOCKED) q
        WHERE x.tenant = q.tenant AND x.lane = q.lane
        RETURNING x.*;
        RETURN;
    END IF;
    shops := ready_shops(f, n, last, behind, true, oldest, t);
    IF closed THEN
        shares := array_fill(1, ARRAY[cardinality(shops)]);
    ELSE
        shares := array_fill(ceil(n::float8 / greatest(cardinality(shops), 1))::int,
                             ARRAY[cardinality(shops)]) || behind_shares;
        shops := shops || behind;
    END IF;
    RETURN QUERY
    UPDATE lane x SET worker = w, epoch = x.epoch + 1
    FROM (SELECT z.tenant, z.lane FROM unnest(shops, shares) u (tenant, share) CROSS JOIN LATERAL (
            SELECT q.tenant, q.lane FROM lane q
            WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
              AND q.tenant = u.tenant AND q.run_at >= oldest AND q.run_at <= t
            ORDER BY q.run_at LIMIT u.share FOR UPDATE SKIP LOCKED) z LIMIT n) q
    WHERE x.tenant = q.tenant AND x.lane = q.lane
    RETURNING x.*;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken < n AND cardinality(shops) > 1 AND NOT closed THEN
        RETURN QUERY
        UPDATE lane x SET worker = w, epoch = x.epoch + 1
        FROM (SELECT z.tenant, z.lane FROM unnest(shops) u (tenant) CROSS JOIN LATERAL (
                SELECT q.tenant, q.lane FROM lane q
                WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
                  AND q.tenant = u.tenant AND q.run_at >= oldest AND q.run_at <= t
                ORDER BY q.run_at LIMIT n - taken FOR UPDATE SKIP LOCKED) z LIMIT n - taken) q
        WHERE x.tenant = q.tenant AND x.lane = q.lane
        RETURNING x.*;
    END IF;
END $$;

-- Suspects of a crash, for a worker that runs one attempt at a time.
CREATE OR REPLACE FUNCTION claim_suspect_work(w int, f int, n int, t timestamptz)
RETURNS SETOF work LANGUAGE sql AS $$
    UPDATE work k SET worker = w, epoch = k.epoch + 1
    WHERE k.id = ANY (ARRAY(
        SELECT q.id FROM work q
        WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND q.suspect AND q.run_at <= t
        ORDER BY q.run_at LIMIT n FOR UPDATE SKIP LOCKED))
    RETURNING k.*
$$;

CREATE OR REPLACE FUNCTION claim_suspect_lanes(w int, f int, n int, t timestamptz)
RETURNS SETOF lane LANGUAGE sql AS $$
    UPDATE lane x SET worker = w, epoch = x.epoch + 1
    FROM (SELECT q.tenant, q.lane FROM lane q
          WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND q.suspect
            AND q.run_at <= t
          ORDER BY q.run_at LIMIT n FOR UPDATE SKIP LOCKED) q
    WHERE x.tenant = q.tenant AND x.lane = q.lane
    RETURNING x.*
$$;
