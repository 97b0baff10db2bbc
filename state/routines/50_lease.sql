-- Who is alive. Who owns is a row, not a clock: expiry only permits reap(), which writes the rows.

-- Take back everything a worker holds. With blame: it crashed, so what was in flight is suspect;
-- only a crash of a worker that runs one attempt at a time is counted against that attempt.
CREATE OR REPLACE FUNCTION reap(gone int, blame boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    was_alone boolean;
    freed bigint;
    more bigint;
    ended_id bigint;
    t timestamptz := clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(1, gone);
    UPDATE worker SET ended = true WHERE worker_id = gone AND NOT ended RETURNING solo INTO was_alone;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- The lock order of everybody; else this deadlocks with a dispatch into many lanes.
    PERFORM 1 FROM lane WHERE worker = gone ORDER BY tenant, lane FOR UPDATE;
    UPDATE work k SET
        suspect = k.suspect OR blame,
        crashes = k.crashes + (blame AND was_alone)::int,
        run_at = CASE WHEN blame AND was_alone
                      THEN t + make_interval(secs => 4 ^ k.crashes) ELSE k.run_at END,
        worker = NULL
    WHERE k.worker = gone
       -- Only the head of a lane can have been running.
       OR k.id IN (SELECT (SELECT min(z.id) FROM work z
                           WHERE z.tenant = x.tenant AND z.lane = x.lane)
                   FROM lane x WHERE x.worker = gone);
    GET DIAGNOSTICS freed = ROW_COUNT;
    IF blame AND was_alone THEN
        PERFORM bury(k.id) FROM work k WHERE k.crashes >= 3 AND k.suspect AND k.worker IS NULL
            AND (k.lane IS NULL OR EXISTS (SELECT FROM lane x WHERE x.tenant = k.tenant
                                           AND x.lane = k.lane AND x.worker = gone));
    END IF;
    UPDATE lane x SET worker = NULL, burst_until = NULL, run_at = h.run_at,
           fn = coalesce(h.fn, x.fn), suspect = coalesce(h.suspect, false)
    FROM lane y LEFT JOIN LATERAL (
        SELECT k.run_at, k.fn, k.suspect FROM work k
        WHERE k.tenant = y.tenant AND k.lane = y.lane ORDER BY k.id LIMIT 1) h ON true
    WHERE y.worker = gone AND x.tenant = y.tenant AND x.lane = y.lane;
    GET DIAGNOSTICS more = ROW_COUNT;
    -- What somebody wanted to end does not run now: it ends here.
    FOR ended_id IN DELETE FROM cancellation WHERE worker = gone RETURNING id LOOP
        PERFORM cancel_invocation(ended_id);
    END LOOP;
    RETURN freed + more;
END $$;

-- An invocation that crashed its process three times while it ran alone ends here.
CREATE OR REPLACE FUNCTION bury(poison bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    k work;
    waiting int;
    reason text := 'The process crashed three times while it ran this invocation alone.';
BEGIN
    DELETE FROM work WHERE id = poison RETURNING * INTO k;
    INSERT INTO outcome (id, state, epoch, result, done_at)
    VALUES (k.id, 'x', k.epoch, reason, clock_timestamp());
    INSERT INTO failure (id, attempt, at, kind, message)
    VALUES (k.id, k.errors + k.crashes, clock_timestamp(), 'crash', reason);
    PERFORM raise_dead(k.tenant, k.id, reason);
    INSERT INTO change (tenant, topic, ids) VALUES (k.tenant, 'invocation', ARRAY[k.id]);
    SELECT reply_to INTO waiting FROM invocation WHERE id = poison;
    IF waiting IS NOT NULL THEN
        PERFORM pg_notify('nexus_reply_' || waiting, poison::text);
    END IF;
    PERFORM tell_joined(ARRAY[poison]);
    PERFORM give_back(ARRAY[poison], ARRAY[poison]);
    PERFORM end_reservations(ARRAY[poison]);
END $$;

-- Find the dead. A process that was killed frees its session lock at once; a paused host lets its
-- lease run out. A free lock counts when it is seen twice, since the owner may be reconnecting.
-- Right after a start of the server, or when our own connection is new again (trust is false),
-- nothing counts: the others are reconnecting too, and could not renew.
CREATE OR REPLACE FUNCTION sweep(me int, trust boolean) RETURNS TABLE (reaped bigint, doubtful int)
LANGUAGE plpgsql AS $$
DECLARE
    d record;
    t timestamptz := clock_timestamp();
BEGIN
    reaped := 0;
    doubtful := 0;
    IF trust AND pg_postmaster_start_time() < t - interval '3 seconds' THEN
        FOR d IN SELECT * FROM worker x WHERE NOT x.ended AND x.worker_id <> me
                 ORDER BY x.worker_id FOR UPDATE SKIP LOCKED LOOP
            IF d.lease_until < t THEN
                reaped := reaped + reap(d.worker_id, true);
            ELSIF NOT pg_try_advisory_xact_lock(2, d.worker_id) THEN
                IF d.seen_free_at IS NOT NULL THEN
                    UPDATE worker SET seen_free_at = NULL WHERE worker_id = d.worker_id;
                END IF;
            ELSIF d.seen_free_at < t - interval '400 milliseconds' THEN
                reaped := reaped + reap(d.worker_id, true);
            ELSE
                doubtful := doubtful + 1;
                IF d.seen_free_at IS NULL THEN
                    UPDATE worker SET seen_free_at = t WHERE worker_id = d.worker_id;
                END IF;
            END IF;
        END LOOP;
    ELSE
        doubtful := 1;
    END IF;
    IF EXISTS (SELECT FROM gate) THEN
        PERFORM tend_gates();
    END IF;
    RETURN NEXT;
END $$;

-- After a broken connection: a turn may have committed without our hearing of it. Frees what is
-- ours in the tables but not in the process, and returns what is in the process but not ours.
CREATE OR REPLACE FUNCTION reconcile(
    me int, ids bigint[], epochs bigint[], tenants int[], lanes bigint[]
) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    -- Exclusive: a turn whose connection broke may still be on its way to its commit.
    PERFORM pg_advisory_xact_lock(1, me);
    IF NOT EXISTS (SELECT FROM worker WHERE worker_id = me AND NOT ended) THEN
        RAISE EXCEPTION 'worker % was declared dead', me USING errcode = 'NX001';
    END IF;
    UPDATE work SET worker = NULL WHERE worker = me AND NOT id = ANY (ids);
    PERFORM 1 FROM lane WHERE worker = me ORDER BY tenant, lane FOR UPDATE;
    UPDATE lane x SET worker = NULL, burst_until = NULL, run_at = h.run_at,
           fn = coalesce(h.fn, x.fn), suspect = coalesce(h.suspect, false)
    FROM lane y LEFT JOIN LATERAL (
        SELECT k.run_at, k.fn, k.suspect FROM work k
        WHERE k.tenant = y.tenant AND k.lane = y.lane ORDER BY k.id LIMIT 1) h ON true
    WHERE y.worker = me AND x.tenant = y.tenant AND x.lane = y.lane
      AND NOT EXISTS (SELECT FROM unnest(tenants, lanes, epochs) u (tenant, lane, epoch)
                      WHERE u.tenant = x.tenant AND u.lane = x.lane AND u.epoch = x.epoch);
    RETURN QUERY
    SELECT u.id FROM unnest(ids, epochs, tenants, lanes) u (id, epoch, tenant, lane)
    WHERE NOT EXISTS (SELECT FROM work k WHERE k.id = u.id
                      AND (u.lane IS NOT NULL OR (k.worker = me AND k.epoch = u.epoch)))
       OR (u.lane IS NOT NULL AND NOT EXISTS (
               SELECT FROM lane x WHERE x.tenant = u.tenant AND x.lane = u.lane
               AND x.worker = me AND x.epoch = u.epoch));
END $$;
