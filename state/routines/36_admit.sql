-- Whether claimed work may start: asked for all attempts that came together, in one call.
--
-- A rate is a line of tickets, a pace apart, and its row says when the highest ticket that has started
-- counts as started (served_at). Ticket n may start at served_at + (n - served) * pace, less the credit
-- of a burst. Whoever comes later than that by more than the grace moves the whole line back by
-- that much, and whoever was overtaken takes the next slot: so the starts of a window never are more
-- than was declared, however late workers are. Lines lose no time on people who left at their end:
-- the next ticket follows the highest that waits.
--
-- Tickets and places at gates outlive a crash: asking again finds them. What has started has used its
-- ticket up; if it runs once more it takes a new one.

CREATE OR REPLACE FUNCTION admit(
    w int, ids bigint[], epochs bigint[], fns int[], shops int[],
    rate_shops int[], rate_keys bigint[], paces float8[], credits float8[], graces float8[],
    gate_keys bigint[], per_keys int[], fleets int[], elders bigint[], heirs bigint[]
) RETURNS TABLE (id bigint, verdict "char", seconds float8) LANGUAGE plpgsql AS $$
-- verdict: 's' starts, 'f' is not ours any more, 'l' is too late, 'n' would be too late at its slot,
-- 'w' waits for its slot, 'p' waits for a permit; seconds: how long at most.
#variable_conflict use_column
DECLARE
    rated boolean := num_nonnulls(VARIADIC rate_keys) > 0;
    gated boolean := num_nonnulls(VARIADIC per_keys) + num_nonnulls(VARIADIC fleets) > 0;
    t timestamptz;
    ours bigint[];                       -- still, and not too late
    late bigint[];
    passing bigint[];                    -- there is room for them at every gate
    inside bigint[];
    never bigint[] := '{}';
    waiting bigint[] := '{}'; waits float8[] := '{}'; tickets bigint[] := '{}';  -- for a slot
    started bigint[];
    a record;
    f int; shop int; k bigint;           -- the line that is being gone through
    served bigint; served_at timestamptz; last_ticket bigint; place bigint;
    ticket bigint; next_place bigint; due timestamptz; slot timestamptz;
    line_fns int[] := '{}'; line_shops int[] := '{}'; line_keys bigint[] := '{}';
    line_served bigint[] := '{}'; line_served_at timestamptz[] := '{}';
BEGIN
    IF gated THEN
        INSERT INTO gate AS g (fn, tenant, key, most)
        SELECT DISTINCT ON (u.fn, u.tenant, u.key) u.fn, u.tenant, u.key, u.most FROM (
            SELECT u.fn, -1, 0, u.fleet FROM unnest(fns, fleets) u (fn, fleet)
            UNION ALL
            SELECT * FROM unnest(fns, shops, gate_keys, per_keys)) u (fn, tenant, key, most)
        WHERE u.most IS NOT NULL ORDER BY u.fn, u.tenant, u.key
        ON CONFLICT (fn, tenant, key) DO UPDATE SET most = excluded.most
        WHERE g.most <> excluded.most;  -- locked in any case
    END IF;
    IF rated THEN
        INSERT INTO rate AS r (fn, tenant, key)
        SELECT DISTINCT u.fn, u.tenant, u.key
        FROM unnest(fns, rate_shops, rate_keys) u (fn, tenant, key)
        WHERE u.key IS NOT NULL ORDER BY u.fn, u.tenant, u.key
        ON CONFLICT (fn, tenant, key) DO UPDATE SET served = r.served WHERE false;
    END IF;

    -- A statement of its own: it sees what was committed while we waited for the locks.
    t := clock_timestamp();
    SELECT array_agg(q.id) FILTER (WHERE NOT q.late), array_agg(q.id) FILTER (WHERE q.late)
    INTO ours, late
    FROM (SELECT q.id, coalesce(q.late_at < t, false) AS late
          FROM unnest(ids, epochs) u (id, epoch)
          JOIN work q ON q.id = u.id
          LEFT JOIN lane x ON x.tenant = q.tenant AND x.lane = q.lane
          WHERE CASE WHEN q.lane IS NULL THEN q.worker = w AND q.epoch = u.epoch
                     ELSE x.worker = w AND x.epoch = u.epoch END) q;
    ours := coalesce(ours, '{}');
    passing := ours;

    IF cardinality(elders) > 0 THEN
        -- The newest event stands for all of its run, in the place of the oldest.
        DELETE FROM permit p USING unnest(elders, heirs) u (elder, heir)
        WHERE p.id = u.elder AND u.heir = ANY (ours);
        WITH left_over AS (
            DELETE FROM rate_slot v USING unnest(elders, heirs) u (elder, heir)
            WHERE v.id = u.elder AND u.heir = ANY (ours)
            RETURNING u.heir, v.fn, v.tenant, v.key, v.ticket)
        INSERT INTO rate_slot (id, fn, tenant, key, ticket)
        SELECT DISTINCT ON (l.heir) l.heir, l.fn, l.tenant, l.key, l.ticket FROM left_over l
        ORDER BY l.heir, l.ticket ON CONFLICT DO NOTHING;
    END IF;

    IF gated THEN
        DELETE FROM permit p WHERE p.id = ANY (ours);
        -- First the gates of keys; then, of those who pass, the fleet's.
        SELECT may_enter(array_agg(u.id), array_agg(u.shop), array_agg(u.fn), array_agg(u.shop),
                         array_agg(u.key))
        INTO inside
        FROM unnest(ids, fns, shops, gate_keys, per_keys) u (id, fn, shop, key, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (ours);
        INSERT INTO permit (id, shop, fn, tenant, key)
        SELECT u.id, u.shop, u.fn, u.shop, u.key
        FROM unnest(ids, fns, shops, gate_keys, per_keys) u (id, fn, shop, key, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (ours) AND NOT u.id = ANY (inside);
        passing := ARRAY(SELECT u.id FROM unnest(ids, per_keys) u (id, most)
                         WHERE u.id = ANY (ours) AND (u.most IS NULL OR u.id = ANY (inside)));

        SELECT may_enter(array_agg(u.id), array_agg(u.shop), array_agg(u.fn), array_agg(-1),
                         array_agg(0::bigint))
        INTO inside
        FROM unnest(ids, fns, shops, fleets) u (id, fn, shop, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (passing);
        INSERT INTO permit (id, shop, fn, tenant, key)
        SELECT u.id, u.shop, u.fn, -1, 0 FROM unnest(ids, fns, shops, fleets) u (id, fn, shop, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (passing) AND NOT u.id = ANY (inside)
        UNION ALL  -- it keeps its place among those of its key
        SELECT u.id, u.shop, u.fn, u.shop, u.key
        FROM unnest(ids, fns, shops, gate_keys, per_keys, fleets) u (id, fn, shop, key, most, fleet)
        WHERE u.most IS NOT NULL AND u.fleet IS NOT NULL AND u.id = ANY (passing)
          AND NOT u.id = ANY (inside);
        passing := ARRAY(SELECT u.id FROM unnest(ids, fleets) u (id, most)
                         WHERE u.id = ANY (passing) AND (u.most IS NULL OR u.id = ANY (inside)));
    END IF;

    started := passing;
    IF rated THEN
        started := ARRAY(SELECT u.id FROM unnest(ids, rate_keys) u (id, key)
                         WHERE u.key IS NULL AND u.id = ANY (passing));
        FOR a IN
            SELECT u.id, u.fn, u.shop, u.key, make_interval(secs => u.pace) AS pace,
                   make_interval(secs => u.credit) AS credit, make_interval(secs => u.grace) AS grace,
                   v.ticket, q.late_at
            FROM unnest(ids, fns, rate_shops, rate_keys, paces, credits, graces)
                 u (id, fn, shop, key, pace, credit, grace)
            JOIN work q ON q.id = u.id
            LEFT JOIN rate_slot v ON v.id = u.id AND v.fn = u.fn AND v.tenant = u.shop
                                   AND v.key = u.key
            WHERE u.key IS NOT NULL AND u.id = ANY (passing)
            ORDER BY u.fn, u.shop, u.key, v.ticket NULLS LAST, q.run_at, u.id
        LOOP
            IF (f, shop, k) IS DISTINCT FROM (a.fn, a.shop, a.key) THEN
                f := a.fn; shop := a.shop; k := a.key; place := 0;
                SELECT r.served, r.served_at, (
                    SELECT max(v.ticket) FROM rate_slot v
                    WHERE v.fn = r.fn AND v.tenant = r.tenant AND v.key = r.key)
                INTO served, served_at, last_ticket
                FROM rate r WHERE r.fn = f AND r.tenant = shop AND r.key = k;
            END IF;
            ticket := coalesce(a.ticket, greatest(last_ticket, served) + 1);
            next_place := greatest(ticket - served, place + 1);
            due := served_at + next_place * a.pace;
            slot := due - a.credit;
            IF slot > a.late_at THEN
                never := never || a.id;
                CONTINUE;
            END IF;
            last_ticket := greatest(last_ticket, ticket);
            IF slot <= t THEN
                started := started || a.id;
                served := greatest(served, ticket); served_at := greatest(due, t - a.grace);
                place := 0;
                line_fns := line_fns || f; line_shops := line_shops || shop; line_keys := line_keys || k;
                line_served := line_served || served; line_served_at := line_served_at || served_at;
            ELSE
                place := next_place;
                waiting := waiting || a.id; tickets := tickets || ticket;
                waits := waits || extract(epoch FROM slot - t)::float8;
            END IF;
        END LOOP;
        UPDATE rate r SET served = u.served, served_at = u.served_at
        FROM (SELECT DISTINCT ON (u.fn, u.tenant, u.key) u.*
              FROM unnest(line_fns, line_shops, line_keys, line_served, line_served_at) WITH ORDINALITY
                   u (fn, tenant, key, served, served_at, place)
              ORDER BY u.fn, u.tenant, u.key, u.place DESC) u
        WHERE r.fn = u.fn AND r.tenant = u.tenant AND r.key = u.key;
        DELETE FROM rate_slot v WHERE v.id = ANY (started);
        INSERT INTO rate_slot AS v (id, fn, tenant, key, ticket)
        SELECT u.id, u.fn, u.shop, u.key, z.ticket
        FROM unnest(waiting, tickets) z (id, ticket)
        JOIN unnest(ids, fns, rate_shops, rate_keys) u (id, fn, shop, key) ON u.id = z.id
        ON CONFLICT (id) DO UPDATE
        SET fn = excluded.fn, tenant = excluded.tenant, key = excluded.key, ticket = excluded.ticket
        WHERE (v.fn, v.tenant, v.key, v.ticket)
              IS DISTINCT FROM (excluded.fn, excluded.tenant, excluded.key, excluded.ticket);
    END IF;

    IF gated THEN
        INSERT INTO permit (id, shop, fn, tenant, key, worker, epoch)
        SELECT u.id, u.shop, u.fn, u.shop, u.key, w, u.epoch
        FROM unnest(ids, epochs, fns, shops, gate_keys, per_keys) u (id, epoch, fn, shop, key, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (started)
        UNION ALL
        SELECT u.id, u.shop, u.fn, -1, 0, w, u.epoch
        FROM unnest(ids, epochs, fns, shops, fleets) u (id, epoch, fn, shop, most)
        WHERE u.most IS NOT NULL AND u.id = ANY (started);
        IF cardinality(passing) > cardinality(started) THEN
            -- Whoever passes and waits for a slot leaves room for others.
            PERFORM call_in(array_agg(u.fn), array_agg(u.shop), array_agg(u.key)) FROM (
                SELECT u.fn, u.shop, u.key
                FROM unnest(ids, fns, shops, gate_keys, per_keys) u (id, fn, shop, key, most)
                WHERE u.most IS NOT NULL AND u.id = ANY (passing) AND NOT u.id = ANY (started)
                UNION
                SELECT u.fn, -1, 0 FROM unnest(ids, fns, fleets) u (id, fn, most)
                WHERE u.most IS NOT NULL AND u.id = ANY (passing) AND NOT u.id = ANY (started)) u;
        END IF;
    END IF;

    RETURN QUERY
    SELECT u.id,
           CASE WHEN u.id = ANY (late) THEN 'l' WHEN NOT u.id = ANY (ours) THEN 'f'
                WHEN u.id = ANY (never) THEN 'n' WHEN u.id = ANY (started) THEN 's'
                WHEN z.id IS NOT NULL THEN 'w' ELSE 'p' END::"char",
           CASE WHEN z.id IS NOT NULL THEN z.seconds
                ELSE least(300, extract(epoch FROM q.late_at - t)::float8) END
    FROM unnest(ids) u (id)
    LEFT JOIN unnest(waiting, waits) z (id, seconds) ON z.id = u.id
    LEFT JOIN work q ON q.id = u.id;
END $$;
