-- What people decide about an invocation: cancel it, or replay it. What it called and waits for is
-- cancelled with it: nobody else can have called that, since a child is named by its parent.

CREATE OR REPLACE FUNCTION cancel_invocation(target bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    asked invocation;
    k work;
    owner int;
    head bigint;
BEGIN
    SELECT * INTO asked FROM invocation WHERE id = target;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF asked.lane IS NOT NULL THEN
        SELECT x.worker INTO owner FROM lane x
        WHERE x.tenant = asked.tenant AND x.lane = asked.lane FOR UPDATE;
        SELECT min(z.id) INTO head FROM work z
        WHERE z.tenant = asked.tenant AND z.lane = asked.lane;
        IF head IS DISTINCT FROM target THEN
            owner := NULL;  -- somebody else's turn: this one only waits
        END IF;
    END IF;
    SELECT * INTO k FROM work WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'finished';
    END IF;
    owner := coalesce(owner, k.worker);
    IF owner IS NOT NULL THEN
        INSERT INTO cancellation (id, worker) VALUES (target, owner) ON CONFLICT DO NOTHING;
        PERFORM cancel_invocation(c.id) FROM child c WHERE c.parent = target;
        PERFORM pg_notify('nexus_wake', 'cancel');
        RETURN 'cancelling';
    END IF;
    PERFORM cancel_invocation(c.id) FROM child c WHERE c.parent = target;
    DELETE FROM work WHERE id = target;
    INSERT INTO outcome (id, state, epoch, result, done_at)
    VALUES (target, 'c', k.epoch, 'cancelled before it ran', clock_timestamp());
    IF head = target THEN
        UPDATE lane x SET run_at = h.run_at, fn = coalesce(h.fn, x.fn),
               suspect = coalesce(h.suspect, false), burst_until = NULL
        FROM (SELECT 1) one LEFT JOIN LATERAL (
            SELECT q.run_at, q.fn, q.suspect FROM work q
            WHERE q.tenant = asked.tenant AND q.lane = asked.lane ORDER BY q.id LIMIT 1) h ON true
        WHERE x.tenant = asked.tenant AND x.lane = asked.lane AND x.worker IS NULL;
    END IF;
    INSERT INTO change (tenant, topic, ids) VALUES (asked.tenant, 'invocation', ARRAY[target]);
    IF asked.reply_to IS NOT NULL THEN
        PERFORM pg_notify('nexus_reply_' || asked.reply_to, target::text);
    END IF;
    PERFORM tell_joined(ARRAY[target]);
    PERFORM give_back(ARRAY[target], ARRAY[target]);
    PERFORM end_reservations(ARRAY[target]);
    RETURN 'cancelled';
END $$;

-- The same invocation again: same id, same steps, so what was done is not done twice. Its epoch
-- goes on from the last one, so a leaked task of an earlier attempt stays fenced.
CREATE OR REPLACE FUNCTION replay_invocation(target bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    asked invocation;
    ended outcome;
    crashed boolean;
    t timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO asked FROM invocation WHERE id = target;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF asked.lane IS NOT NULL THEN
        INSERT INTO lane (tenant, lane, fn) VALUES (asked.tenant, asked.lane, asked.fn)
        ON CONFLICT DO NOTHING;
        PERFORM 1 FROM lane WHERE tenant = asked.tenant AND lane = asked.lane FOR UPDATE;
    END IF;
    SELECT * INTO ended FROM outcome WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_finished';
    END IF;
    IF ended.state = 'd' THEN
        RETURN 'done';
    END IF;
    crashed := EXISTS (SELECT FROM failure WHERE id = target AND kind = 'crash');
    DELETE FROM outcome WHERE id = target;
    INSERT INTO work (id, tenant, fn, lane, run_at, epoch, suspect)
    VALUES (target, asked.tenant, asked.fn, asked.lane, t, ended.epoch, crashed);
    IF asked.lane IS NOT NULL THEN
        UPDATE lane x SET run_at = h.run_at, fn = h.fn, suspect = h.suspect, burst_until = NULL
        FROM (SELECT q.run_at, q.fn, q.suspect FROM work q
              WHERE q.tenant = asked.tenant AND q.lane = asked.lane ORDER BY q.id LIMIT 1) h
        WHERE x.tenant = asked.tenant AND x.lane = asked.lane AND x.worker IS NULL;
        -- Whoever has it looks for the next one behind the one that ends, and this one is older:
        -- a sign to look at all until the lane is released. Of a lane that is ours, nothing else
        -- reads this, and the release writes it anew.
        UPDATE lane SET burst_until = 'epoch'
        WHERE tenant = asked.tenant AND lane = asked.lane AND worker IS NOT NULL;
    END IF;
    UPDATE alert SET resolved_at = t, resolved_by = 'replay'
    WHERE kind = 'dead' AND subject = target AND resolved_at IS NULL;
    INSERT INTO change (tenant, topic, ids) VALUES (asked.tenant, 'invocation', ARRAY[target]),
                                                   (asked.tenant, 'alert', ARRAY[target]);
    PERFORM pg_notify('nexus_wake', asked.fn::text);
    RETURN 'replayed';
END $$;
