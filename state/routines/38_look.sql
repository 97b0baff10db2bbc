-- A look: claim what may run next, and return it as something to be run. A turn does the same at its end.
--
-- Rows are those of a turn: kind 'c' claimed, 'm' that there may be more, or 'o' from when on to look.

-- As it was before lanes were given up one by one.
DROP FUNCTION IF EXISTS heads(boolean, boolean, timestamptz, int[], bigint[], bigint[], int[]);

CREATE OR REPLACE FUNCTION alive(w int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- reap() takes the same lock exclusively: either this commits first, or it sees the end.
    PERFORM pg_advisory_xact_lock_shared(1, w);
    IF NOT EXISTS (SELECT FROM worker WHERE worker_id = w AND NOT ended) THEN
        RAISE EXCEPTION 'worker % was declared dead', w USING errcode = 'NX001';
    END IF;
END $$;

-- Merge, Supersede: the newest of the events in line stands for all of them. Their ids, oldest first.
CREATE OR REPLACE FUNCTION in_line(shop int, line bigint, head bigint, head_fn int)
RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(w.id ORDER BY w.id) FROM work w
    WHERE w.tenant = in_line.shop AND w.lane = in_line.line AND w.fn = in_line.head_fn
      AND w.id >= in_line.head
      AND w.id < coalesce((SELECT min(z.id) FROM work z
                           WHERE z.tenant = in_line.shop AND z.lane = in_line.line
                             AND z.id > in_line.head AND z.fn <> in_line.head_fn),
                          9223372036854775807)
$$;

-- When it is their turn.
CREATE OR REPLACE FUNCTION due_in_line(ids bigint[], head_fn int)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN f.burst = 's' THEN (array_agg(w.run_at ORDER BY w.id DESC))[1]
                ELSE least(max(w.run_at), min(w.run_at)
                           + make_interval(secs => f.cap_seconds - f.quiet_seconds)) END
    FROM function f, work w
    WHERE f.fn = due_in_line.head_fn AND w.id = ANY (due_in_line.ids) GROUP BY f.fn
$$;

-- The heads of lanes that are ours: those that may run now are returned, the other lanes released.
-- `kd` says from which id on the next one is looked for: what is further ahead in the index is done, and
-- reading all of it again would take longer and longer. NULL: look at all.
CREATE OR REPLACE FUNCTION heads(
    alone boolean, t timestamptz, kt int[], kl bigint[], ke bigint[], kf int[], kk boolean[],
    kd bigint[]
) RETURNS TABLE (
    id bigint, epoch bigint, tenant int, lane bigint, fn int, errors smallint,
    crashes smallint, event text, reply_to int, created_at timestamptz, merged bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    -- Asked for once: joined to each head, it would take up to a tenth of the time of a turn.
    bursting int[] := ARRAY(SELECT f.fn FROM function f WHERE f.cap_seconds IS NOT NULL);
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT k.tenant, k.lane, k.epoch, k.fn, k.keep, q.id AS head, q.fn AS head_fn, q.suspect,
               q.errors, q.crashes, q.run_at,
               CASE WHEN q.fn = ANY (bursting)
                    THEN in_line(k.tenant, k.lane, q.id, q.fn) END AS others
        FROM unnest(kt, kl, ke, kf, kk, kd) k (tenant, lane, epoch, fn, keep, next)
        LEFT JOIN LATERAL (
            SELECT w.id, w.fn, w.run_at, w.suspect, w.errors, w.crashes FROM work w
            WHERE w.tenant = k.tenant AND w.lane = k.lane AND w.id >= coalesce(k.next, 0)
            ORDER BY w.id LIMIT 1) q ON true
        OFFSET 0),  -- not merged into the next: in_line() is called once for each
    mine AS MATERIALIZED (
        SELECT f.*, coalesce(f.others[cardinality(f.others)], f.head) AS id,
               CASE WHEN f.others IS NULL THEN f.run_at
                    ELSE due_in_line(f.others, f.head_fn) END AS due_at
        FROM found f),
    released AS (
        UPDATE lane x SET worker = NULL, run_at = h.due_at, fn = coalesce(h.head_fn, x.fn),
               suspect = coalesce(h.suspect, false),
               burst_until = CASE WHEN h.others IS NOT NULL THEN h.due_at END
        FROM mine h
        WHERE x.tenant = h.tenant AND x.lane = h.lane
          AND (h.head IS NULL OR h.due_at > t OR h.head_fn <> h.fn OR h.suspect <> alone OR NOT h.keep))
    SELECT h.id, h.epoch, h.tenant, h.lane, h.fn, h.errors, h.crashes, a.event, a.reply_to,
           a.created_at, array_remove(h.others, h.id)
    FROM mine h JOIN invocation a ON a.id = h.id
    WHERE h.due_at <= t AND h.head_fn = h.fn AND h.suspect = alone AND h.keep
    ORDER BY h.id;
END $$;

-- Claim what is wanted of one function, as rows of a turn. With `since`, what has no lane and was due
-- before that is passed over, and a row 'o' says from when on to look next time. What comes
-- late (it was stored by a transaction that took long) may be due up to a second earlier than that.
CREATE OR REPLACE FUNCTION claim(
    w int, alone boolean, f int, n int, in_lanes boolean, last int, behind int[],
    behind_shares int[], since timestamptz, t timestamptz
) RETURNS TABLE (
    kind "char", id bigint, epoch bigint, tenant int, lane bigint, fn int, errors smallint,
    crashes smallint, event text, reply_to int, created_at timestamptz, merged bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    wi bigint[]; we bigint[]; wt int[]; wf int[]; wr smallint[]; wc smallint[];  -- claimed work
    kt int[]; kl bigint[]; ke bigint[]; kf int[];                               -- claimed lanes
    taken int;
    oldest timestamptz;
BEGIN
    IF NOT alone THEN
        SELECT q.run_at INTO oldest FROM work q
        WHERE q.fn = f AND q.worker IS NULL AND q.lane IS NULL AND NOT q.suspect
          AND q.run_at >= coalesce(since, '-infinity') AND q.run_at <= t
          AND q.tenant >= 0  -- so that work_due is used, see there
        ORDER BY q.run_at LIMIT 1;
    END IF;
    SELECT array_agg(c.id), array_agg(c.epoch), array_agg(c.tenant), array_agg(c.fn),
           array_agg(c.errors), array_agg(c.crashes)
    INTO wi, we, wt, wf, wr, wc
    FROM (SELECT * FROM claim_suspect_work(w, f, n, t) WHERE alone
          UNION ALL
          SELECT * FROM claim_work(w, f, n, last, behind, behind_shares, oldest, t)
          WHERE oldest IS NOT NULL) c;
    taken := coalesce(cardinality(wi), 0);
    IF taken > 0 THEN
        -- A statement of its own: the claim sees work that was committed after its caller's
        -- snapshot was taken, and that snapshot does not have the invocation yet.
        RETURN QUERY
        SELECT 'c'::"char", c.id, c.epoch, c.tenant, NULL::bigint, c.fn, c.errors, c.crashes,
               a.event, a.reply_to, a.created_at, NULL::bigint[]
        FROM unnest(wi, we, wt, wf, wr, wc) c (id, epoch, tenant, fn, errors, crashes)
        JOIN invocation a ON a.id = c.id;
    END IF;
    IF since IS NOT NULL AND NOT alone THEN
        RETURN QUERY SELECT 'o'::"char", NULL::bigint, NULL::bigint, NULL::int, NULL::bigint,
            f, NULL::smallint, NULL::smallint, NULL::text, NULL::int,
            coalesce(oldest, t) - interval '1 second', NULL::bigint[];
    END IF;
    IF in_lanes AND taken < n THEN
        IF NOT alone THEN
            SELECT q.run_at INTO oldest FROM lane q
            WHERE q.fn = f AND q.worker IS NULL AND q.run_at IS NOT NULL AND NOT q.suspect
              AND q.run_at <= t AND q.tenant >= 0
            ORDER BY q.run_at LIMIT 1;
        END IF;
        SELECT array_agg(c.tenant), array_agg(c.lane), array_agg(c.epoch), array_agg(c.fn)
        INTO kt, kl, ke, kf
        FROM (SELECT * FROM claim_suspect_lanes(w, f, n - taken, t) WHERE alone
              UNION ALL
              SELECT * FROM claim_lanes(w, f, n - taken, last, behind, behind_shares, oldest, t)
              WHERE oldest IS NOT NULL) c;
        IF kt IS NOT NULL THEN
            taken := taken + cardinality(kt);
            RETURN QUERY SELECT 'c'::"char", h.* FROM heads(
                alone, t, kt, kl, ke, kf, array_fill(true, ARRAY[cardinality(kt)]), '{}') h;
        END IF;
    END IF;
    IF taken >= n THEN
        RETURN QUERY SELECT 'm'::"char", NULL::bigint, NULL::bigint, NULL::int, NULL::bigint,
            f, NULL::smallint, NULL::smallint, NULL::text, NULL::int, NULL::timestamptz,
            NULL::bigint[];
    END IF;
END $$;

-- A turn in which nothing ends and one function is wanted, as of a worker that has nothing to do:
-- without the many arrays of turn() it takes about a sixth less time.
CREATE OR REPLACE FUNCTION look(
    w int, alone boolean, f int, n int, in_lanes boolean, last int, behind int[],
    behind_shares int[], since timestamptz DEFAULT NULL
) RETURNS TABLE (
    kind "char", id bigint, epoch bigint, tenant int, lane bigint, fn int, errors smallint,
    crashes smallint, event text, reply_to int, created_at timestamptz, merged bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    -- A claim alone may be lost in a crash of Postgres: nothing durable stands on it.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM alive(w);
    RETURN QUERY SELECT * FROM claim(
        w, alone, f, n, in_lanes, last, behind, behind_shares, since, clock_timestamp());
END $$;
