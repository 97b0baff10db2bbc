-- Who may run what next. Every claim writes (worker, epoch + 1): the fence of all that follows.

-- Shops with ready work of a function, in a ring after the one served last, by index probes.
CREATE OR REPLACE FUNCTION ready_shops(f int, n int, last int, in_lanes boolean)
RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    shops int[] := '{}';
    at int := last;
    found_shop int;
    wrapped boolean := false;
BEGIN
    LOOP
        IF in_lanes THEN
            SELECT q.tenant INTO found_shop FROM lane q
            WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
              AND q.tenant > at ORDER BY q.tenant LIMIT 1;
        ELSE
            SELECT q.tenant INTO found_shop FROM work q
            WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
              AND q.tenant > at ORDER BY q.tenant LIMIT 1;
        END IF;
        IF found_shop IS NULL OR (wrapped AND found_shop > last) THEN
            EXIT WHEN wrapped OR last < 0;
            wrapped := true;
            at := -1;
        ELSE
            shops := shops || found_shop;
            at := found_shop;
            EXIT WHEN cardinality(shops) >= least(n, 100);
        END IF;
    END LOOP;
    RETURN shops;
END $$;

-- Take up to n ready invocations that have no lane. Fair between shops: an equal share each,
-- then whatever is left for anybody.
CREATE OR REPLACE FUNCTION claim_work(w int, f int, n int, last int, t timestamptz)
RETURNS SETOF work LANGUAGE plpgsql AS $$
DECLARE
    shops int[] := ready_shops(f, n, last, false);
    share int := ceil(n::float8 / nullif(cardinality(shops), 0));
    taken int;
BEGIN
    IF cardinality(shops) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE work k SET worker = w, epoch = k.epoch + 1
    WHERE k.id = ANY (ARRAY(
        SELECT z.id FROM unnest(shops) u (tenant) CROSS JOIN LATERAL (
            SELECT q.id FROM work q
            WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
              AND q.tenant = u.tenant AND q.run_at <= t
            ORDER BY q.run_at, q.id LIMIT share FOR UPDATE SKIP LOCKED) z LIMIT n))
    RETURNING k.*;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken < n AND cardinality(shops) > 1 THEN
        RETURN QUERY
        UPDATE work k SET worker = w, epoch = k.epoch + 1
        WHERE k.id = ANY (ARRAY(
            SELECT q.id FROM work q
            WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
              AND q.run_at <= t
            ORDER BY q.tenant, q.run_at, q.id LIMIT n - taken FOR UPDATE SKIP LOCKED))
        RETURNING k.*;
    END IF;
END $$;

-- Take up to n ready lanes, fair between shops in the same way.
CREATE OR REPLACE FUNCTION claim_lanes(w int, f int, n int, last int, t timestamptz)
RETURNS SETOF lane LANGUAGE plpgsql AS $$
DECLARE
    shops int[] := ready_shops(f, n, last, true);
    share int := ceil(n::float8 / nullif(cardinality(shops), 0));
    taken int;
BEGIN
    IF cardinality(shops) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE lane x SET worker = w, epoch = x.epoch + 1
    FROM (SELECT z.tenant, z.lane FROM unnest(shops) u (tenant) CROSS JOIN LATERAL (
            SELECT q.tenant, q.lane FROM lane q
            WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
              AND q.tenant = u.tenant AND q.run_at <= t
            ORDER BY q.run_at LIMIT share FOR UPDATE SKIP LOCKED) z LIMIT n) q
    WHERE x.tenant = q.tenant AND x.lane = q.lane
    RETURNING x.*;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken < n AND cardinality(shops) > 1 THEN
        RETURN QUERY
        UPDATE lane x SET worker = w, epoch = x.epoch + 1
        FROM (SELECT q.tenant, q.lane FROM lane q
              WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
                AND q.run_at <= t
              ORDER BY q.tenant, q.run_at LIMIT n - taken FOR UPDATE SKIP LOCKED) q
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
