-- A turn: finish a batch and claim the next, in one round trip and one commit.
--
-- Finished (parallel arrays; an empty one after kinds or for lanes: NULL for all): keeps say whether
-- a lane stays ours when its next one may run now (NULL: it does). Kinds are 'd' done, 'x' dead, 'c' cancelled,
-- 'r' retry, 's' snooze,
-- 'h' handed back. bodies: JSON of a done one, else the reason. causes: error, timeout … or NULL.
-- A retry whose cause is 'crash' (a process of its own died) counts as a crash alone, not as an error.
-- Children are events that a finished attempt dispatched: stored with its outcome or not at all.
-- Wanted: functions, how many of each, whether they use lanes, the shop served last. Behind: shops that
-- have had more of a function's time than others, and how many of those wanted each gets; the one
-- that had the least of it first; NULL for each: they get nothing, even if something is left.
--
-- Since: what was due before is passed over, see claim(); NULL: nothing is.
--
-- Returns kind 'c' claimed (to be run), 'f' fenced (the id was not ours any more), 'm': as much
-- as was wanted of that function was there, so there may be more; or 'o': see claim().
-- Raises NX001 when this worker was declared dead.
--
-- Fences say "worker IS NOT DISTINCT FROM w", so that rows are found by their key alone: planned
-- while a table is small, "worker = w" would read all rows of this worker for each that is asked.

-- As it was before lanes were given up one by one.
DROP FUNCTION IF EXISTS turn(
    int, boolean, boolean, bigint[], bigint[], int[], bigint[], "char"[], float8[], text[], text[],
    int[], int[], bigint[], int[], int[], bigint[], text[], float8[], float8[], int[], int[],
    boolean[], int[]);
DROP FUNCTION IF EXISTS turn(  -- before shops were weighed
    int, boolean, bigint[], bigint[], int[], bigint[], "char"[], float8[], text[], text[], int[],
    int[], boolean[], bigint[], int[], int[], bigint[], text[], float8[], float8[], int[], int[],
    boolean[], int[]);

-- What people and waiting callers learn of finished attempts.
CREATE OR REPLACE FUNCTION note_turn(
    ids bigint[], tenants int[], kinds "char"[], bodies text[], causes text[], attempts int[],
    replies int[], closed bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change (tenant, topic, ids)
    SELECT u.tenant, 'invocation', array_agg(u.id) FROM unnest(tenants, ids) u (tenant, id)
    GROUP BY u.tenant;
    IF num_nonnulls(VARIADIC causes) > 0 THEN
        INSERT INTO failure (id, attempt, at, kind, message)
        SELECT u.id, u.attempt, clock_timestamp(), u.cause, u.body
        FROM unnest(ids, attempts, causes, bodies) u (id, attempt, cause, body)
        WHERE u.cause IS NOT NULL AND u.id = ANY (closed)
        ON CONFLICT DO NOTHING;
    END IF;
    IF 'x' = ANY (kinds) THEN
        PERFORM raise_dead(u.tenant, u.id, u.body)
        FROM unnest(tenants, ids, kinds, bodies) u (tenant, id, kind, body)
        WHERE u.kind = 'x' AND u.id = ANY (closed);
    END IF;
    IF num_nonnulls(VARIADIC replies) > 0 THEN
        PERFORM pg_notify('nexus_reply_' || u.reply, string_agg(u.id::text, ','))
        FROM unnest(replies, ids, kinds) u (reply, id, kind)
        WHERE u.reply IS NOT NULL AND u.kind IN ('d', 'x', 'c') GROUP BY u.reply;
    END IF;
    IF EXISTS (SELECT FROM joined) THEN
        PERFORM tell_joined(ARRAY(SELECT u.id FROM unnest(ids, kinds) u (id, kind)
                                  WHERE u.kind IN ('d', 'x', 'c') AND u.id = ANY (closed)));
    END IF;
    IF EXISTS (SELECT FROM reservation) THEN
        PERFORM end_reservations(ARRAY(SELECT u.id FROM unnest(ids, kinds) u (id, kind)
                                       WHERE u.kind IN ('d', 'x', 'c') AND u.id = ANY (closed)));
    END IF;
    IF EXISTS (SELECT FROM cancellation) THEN
        DELETE FROM cancellation WHERE id = ANY (ids);
    END IF;
END $$;

-- Tell those who joined these invocations by their key that they have ended.
CREATE OR REPLACE FUNCTION tell_joined(ended bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('nexus_reply_' || j.reply_to, j.id::text) FROM joined j
    WHERE j.id = ANY (ended);
    DELETE FROM joined WHERE id = ANY (ended);
END $$;

CREATE OR REPLACE FUNCTION raise_dead(shop int, invocation bigint, reason text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alert (tenant, kind, subject, message) VALUES (shop, 'dead', invocation, reason)
    ON CONFLICT DO NOTHING;
    INSERT INTO change (tenant, topic, ids) VALUES (shop, 'alert', ARRAY[invocation]);
END $$;

CREATE OR REPLACE FUNCTION turn(
    w int, alone boolean,
    ids bigint[], epochs bigint[], tenants int[], lanes bigint[], kinds "char"[],
    delays float8[], bodies text[], causes text[], attempts int[], replies int[],
    keeps boolean[],
    child_parents bigint[], child_tenants int[], child_fns int[], child_lanes bigint[],
    child_events text[], child_delays float8[], child_caps float8[],
    want_fns int[], want_counts int[], want_lanes boolean[], want_after int[],
    behind_fns int[] DEFAULT '{}', behind_tenants int[] DEFAULT '{}', behind_shares int[] DEFAULT '{}',
    want_since timestamptz[] DEFAULT '{}'
) RETURNS TABLE (
    kind "char", id bigint, epoch bigint, tenant int, lane bigint, fn int, errors smallint,
    crashes smallint, event text, reply_to int, created_at timestamptz, merged bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t timestamptz := clock_timestamp();  -- a variable, so that it can be an index condition
    finishing boolean := cardinality(ids) > 0;
    in_lanes boolean := finishing AND num_nonnulls(VARIADIC lanes) > 0;
    outside boolean := finishing AND num_nonnulls(VARIADIC lanes) < cardinality(ids);
    again boolean := kinds && '{r,s,h}';
    closed bigint[] := '{}';             -- finished ids that were still ours
    some_closed bigint[];
    -- Lanes that are ours: (tenant, lane, epoch, fn, whether they stay so, from which id on to look).
    kt int[]; kl bigint[]; ke bigint[]; kf int[]; kk boolean[]; kd bigint[];
    bt int[] := '{}'; bs int[] := '{}';                                    -- behind in this function
BEGIN
    IF NOT finishing THEN  -- see look()
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM alive(w);

    IF again AND EXISTS (SELECT FROM cancellation c WHERE c.worker = w) THEN
        -- What somebody wants to end is not put back.
        SELECT array_agg(CASE WHEN u.kind IN ('r', 's', 'h')
                               AND EXISTS (SELECT FROM cancellation c WHERE c.id = u.id)
                              THEN 'c' ELSE u.kind END ORDER BY u.place)
        INTO kinds FROM unnest(ids, kinds) WITH ORDINALITY u (id, kind, place);
    END IF;

    IF cardinality(child_parents) > 0 THEN
        INSERT INTO lane (tenant, lane, fn)
        SELECT DISTINCT ON (u.tenant, u.lane) u.tenant, u.lane, u.fn
        FROM unnest(child_tenants, child_lanes, child_fns) u (tenant, lane, fn)
        WHERE u.lane IS NOT NULL ORDER BY u.tenant, u.lane
        ON CONFLICT DO NOTHING;
        -- All lanes this turn will touch, in the order everybody locks them.
        PERFORM 1 FROM (
            SELECT tenant, lane FROM unnest(tenants, lanes) u (tenant, lane) WHERE lane IS NOT NULL
            UNION SELECT tenant, lane FROM unnest(child_tenants, child_lanes) u (tenant, lane)
            WHERE lane IS NOT NULL) u
        JOIN lane x ON x.tenant = u.tenant AND x.lane = u.lane
        ORDER BY x.tenant, x.lane FOR UPDATE OF x;
    END IF;

    IF in_lanes THEN
        -- The fence, and the lock: what is dispatched later waits, and is seen by the next statement.
        SELECT array_agg(x.tenant), array_agg(x.lane), array_agg(x.epoch), array_agg(x.fn),
               array_agg(x.keep), array_agg(x.id)
        INTO kt, kl, ke, kf, kk, kd
        FROM (SELECT x.tenant, x.lane, x.epoch, x.fn, d.keep,
                     CASE WHEN x.burst_until = 'epoch' THEN NULL  -- see replay_invocation()
                          ELSE d.id END AS id
              FROM (SELECT u.tenant, u.lane, u.epoch, bool_and(coalesce(u.keep, true)) AS keep,
                           -- Behind what is done; what is put back is still there.
                           min(u.id + (u.kind IN ('d', 'x', 'c'))::int) AS id
                    FROM unnest(tenants, lanes, epochs, keeps, ids, kinds)
                         u (tenant, lane, epoch, keep, id, kind)
                    GROUP BY u.tenant, u.lane, u.epoch) d
              JOIN lane x ON x.tenant = d.tenant AND x.lane = d.lane
              WHERE x.worker IS NOT DISTINCT FROM w AND x.epoch = d.epoch
              ORDER BY x.tenant, x.lane FOR UPDATE OF x) x;
        WITH gone AS (
            DELETE FROM work k
            USING unnest(ids, epochs, tenants, lanes, kinds, bodies)
                  d (id, epoch, tenant, lane, kind, body), lane x
            WHERE d.kind IN ('d', 'x', 'c') AND x.tenant = d.tenant AND x.lane = d.lane
              AND x.worker IS NOT DISTINCT FROM w AND x.epoch = d.epoch AND k.id = d.id
            RETURNING k.id, d.kind, d.epoch, d.body),
        kept AS (
            INSERT INTO outcome (id, state, epoch, result, done_at)
            SELECT g.id, g.kind, g.epoch, g.body, t FROM gone g)
        SELECT array_agg(g.id) INTO some_closed FROM gone g;
        closed := coalesce(some_closed, '{}');
        IF again THEN
            WITH put_back AS (
                UPDATE work k SET
                    run_at = t + make_interval(secs => coalesce(d.delay, 0)),
                    errors = k.errors + (d.kind = 'r' AND d.cause IS DISTINCT FROM 'crash')::int,
                    crashes = k.crashes + (d.kind = 'r' AND d.cause IS NOT DISTINCT FROM 'crash')::int,
                    suspect = k.suspect AND d.kind = 'h'
                FROM unnest(ids, epochs, tenants, lanes, kinds, delays, causes)
                     d (id, epoch, tenant, lane, kind, delay, cause), lane x
                WHERE d.kind IN ('r', 's', 'h') AND x.tenant = d.tenant AND x.lane = d.lane
                  AND x.worker IS NOT DISTINCT FROM w AND x.epoch = d.epoch AND k.id = d.id
                RETURNING k.id)
            SELECT array_agg(p.id) INTO some_closed FROM put_back p;
            closed := closed || coalesce(some_closed, '{}');
        END IF;
    END IF;

    IF outside THEN
        WITH gone AS (
            DELETE FROM work k
            USING unnest(ids, epochs, kinds, bodies) d (id, epoch, kind, body)
            WHERE k.id = d.id AND k.worker IS NOT DISTINCT FROM w AND k.epoch = d.epoch AND k.lane IS NULL
              AND d.kind IN ('d', 'x', 'c')
            RETURNING k.id, d.kind, d.epoch, d.body),
        kept AS (
            INSERT INTO outcome (id, state, epoch, result, done_at)
            SELECT g.id, g.kind, g.epoch, g.body, t FROM gone g)
        SELECT array_agg(g.id) INTO some_closed FROM gone g;
        closed := closed || coalesce(some_closed, '{}');
        IF again THEN
            WITH put_back AS (
                UPDATE work k SET
                    worker = NULL,
                    run_at = t + make_interval(secs => coalesce(d.delay, 0)),
                    errors = k.errors + (d.kind = 'r' AND d.cause IS DISTINCT FROM 'crash')::int,
                    crashes = k.crashes + (d.kind = 'r' AND d.cause IS NOT DISTINCT FROM 'crash')::int,
                    suspect = k.suspect AND d.kind = 'h'
                FROM unnest(ids, epochs, kinds, delays, causes)
                     d (id, epoch, kind, delay, cause)
                WHERE k.id = d.id AND k.worker IS NOT DISTINCT FROM w AND k.epoch = d.epoch AND k.lane IS NULL
                  AND d.kind IN ('r', 's', 'h')
                RETURNING k.id)
            SELECT array_agg(p.id) INTO some_closed FROM put_back p;
            closed := closed || coalesce(some_closed, '{}');
        END IF;
    END IF;

    IF finishing THEN
        IF cardinality(closed) < cardinality(ids) THEN
            RETURN QUERY SELECT 'f'::"char", d.id, NULL::bigint, NULL::int, NULL::bigint, NULL::int,
                NULL::smallint, NULL::smallint, NULL::text, NULL::int, NULL::timestamptz,
                NULL::bigint[]
            FROM unnest(ids) d (id) WHERE NOT d.id = ANY (closed);
        END IF;
        PERFORM note_turn(ids, tenants, kinds, bodies, causes, attempts, replies, closed);
        IF cardinality(child_parents) > 0 THEN
            INSERT INTO descent (parent, id)
            SELECT a.parents[n.place], n.id FROM (
                SELECT array_agg(c.parent ORDER BY c.place) AS parents,
                       array_agg(c.tenant ORDER BY c.place) AS tenants,
                       array_agg(c.fn ORDER BY c.place) AS fns,
                       array_agg(c.lane ORDER BY c.place) AS lanes,
                       array_agg(c.event ORDER BY c.place) AS events,
                       array_agg(c.delay ORDER BY c.place) AS delays,
                       array_agg(c.cap ORDER BY c.place) AS caps,
                       array_agg(NULL::int) AS nobody, array_agg(NULL::text) AS nothing
                FROM unnest(child_parents, child_tenants, child_fns, child_lanes, child_events,
                            child_delays, child_caps) WITH ORDINALITY
                     c (parent, tenant, fn, lane, event, delay, cap, place)
                WHERE c.parent = ANY (closed) HAVING count(*) > 0) a,
                LATERAL (
                    SELECT d.id, row_number() OVER (ORDER BY d.id) AS place  -- ids are in order
                    FROM dispatch(a.tenants, a.fns, a.lanes, a.events, a.nobody, a.delays, a.caps,
                                  a.nothing, a.nothing, false) d) n;
        END IF;
    END IF;

    FOR i IN 1 .. cardinality(want_fns) LOOP
        IF cardinality(behind_fns) > 0 THEN
            SELECT coalesce(array_agg(u.tenant ORDER BY u.place), '{}'),
                   coalesce(array_agg(u.share ORDER BY u.place), '{}')
            INTO bt, bs FROM unnest(behind_fns, behind_tenants, behind_shares) WITH ORDINALITY
                 u (fn, tenant, share, place) WHERE u.fn = want_fns[i];
        END IF;
        RETURN QUERY SELECT * FROM claim(
            w, alone, want_fns[i], want_counts[i], want_lanes[i], want_after[i], bt, bs,
            want_since[i], t);
    END LOOP;

    IF cardinality(kt) > 0 THEN
        RETURN QUERY SELECT 'c'::"char", h.* FROM heads(alone, t, kt, kl, ke, kf, kk, kd) h;
    END IF;

    -- Last, so that gates are locked for the commit alone, and lanes that wait are free by now.
    IF finishing AND (EXISTS (SELECT FROM gate) OR EXISTS (SELECT FROM rate_slot)) THEN
        PERFORM give_back(closed, ARRAY(SELECT u.id FROM unnest(ids, kinds) u (id, kind)
                                        WHERE u.kind IN ('d', 'x', 'c') AND u.id = ANY (closed)));
    END IF;
END $$;

-- As they were before they passed over what is done. Here, after all who call them: each file of
-- routines is in force by itself, and workers go on meanwhile.
DROP FUNCTION IF EXISTS ready_shops(int, int, int, int[], boolean, timestamptz);
DROP FUNCTION IF EXISTS claim_work(int, int, int, int, int[], int[], timestamptz);
DROP FUNCTION IF EXISTS claim_lanes(int, int, int, int, int[], int[], timestamptz);
DROP FUNCTION IF EXISTS heads(
    boolean, timestamptz, int[], bigint[], bigint[], int[], boolean[]);
DROP FUNCTION IF EXISTS claim(
    int, boolean, int, int, boolean, int, int[], int[], timestamptz);
DROP FUNCTION IF EXISTS look(int, boolean, int, int, boolean, int, int[], int[]);
DROP FUNCTION IF EXISTS turn(
    int, boolean, bigint[], bigint[], int[], bigint[], "char"[], float8[], text[], text[], int[],
    int[], boolean[], bigint[], int[], int[], bigint[], text[], float8[], float8[], int[], int[],
    boolean[], int[], int[], int[], int[]);
