-- Budgets: reserve before a paid call, settle after it. Whoever needs several of these rows takes
-- them in one order: the invocation's work, its reservation, the budgets by their key.

-- Reserve tokens for a call of a run that is ours: in every budget, or in none. Safe to run twice:
-- what an earlier attempt reserved for this call and did not settle is given back first.
-- Returns the scope that has no room ('run', 'conversation', 'day'); NULL: reserved.
-- Raises NX002 when the work is not ours any more.
CREATE OR REPLACE FUNCTION reserve_tokens(
    invocation bigint, w int, e bigint, shop int, line bigint, call text, holder bigint,
    tokens bigint, run_most bigint, scopes text[], subjects bigint[], limits bigint[]
) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    today date := (clock_timestamp() AT TIME ZONE coalesce(
        (SELECT zone FROM shop s WHERE s.tenant = shop), 'UTC'))::date;
    without_room text;
BEGIN
    -- Held: the end of the run waits, and then finds what is reserved here; calls of one run that are
    -- made together reserve one after another.
    PERFORM FROM work k
    WHERE k.id = invocation
      AND CASE WHEN line IS NULL THEN k.worker IS NOT DISTINCT FROM w AND k.epoch = e
               ELSE EXISTS (SELECT FROM lane x WHERE x.tenant = shop AND x.lane = line
                            AND x.worker IS NOT DISTINCT FROM w AND x.epoch = e) END
    FOR NO KEY UPDATE OF k;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this work is not ours any more' USING ERRCODE = 'NX002';
    END IF;
    PERFORM settle_tokens(invocation, call, NULL, 0);

    IF run_most < tokens + (SELECT coalesce(sum(r.spent + r.reserved), 0) FROM reservation r
                            WHERE r.id = invocation) THEN
        RETURN 'run';
    END IF;
    INSERT INTO budget (tenant, day, scope, subject, most)
    SELECT shop, today, u.scope, u.subject, u.most FROM unnest(scopes, subjects, limits)
         u (scope, subject, most)
    ORDER BY u.scope, u.subject
    ON CONFLICT DO NOTHING;
    PERFORM hold_budgets(shop, array_fill(today, ARRAY[cardinality(scopes)]), scopes, subjects);
    SELECT b.scope INTO without_room
    FROM unnest(scopes, subjects, limits) u (scope, subject, most)
    JOIN budget b ON b.tenant = shop AND b.day = today AND b.scope = u.scope AND b.subject = u.subject
    WHERE b.spent + b.reserved + tokens > u.most
    ORDER BY b.scope LIMIT 1;
    IF without_room IS NOT NULL THEN
        RETURN without_room;
    END IF;
    UPDATE budget b SET reserved = b.reserved + tokens, most = u.most
    FROM unnest(scopes, subjects, limits) u (scope, subject, most)
    WHERE b.tenant = shop AND b.day = today AND b.scope = u.scope AND b.subject = u.subject;
    INSERT INTO reservation AS r (id, name, tenant, holder, reserved, most, days, scopes, subjects)
    VALUES (invocation, call, shop, reserve_tokens.holder, tokens, run_most,
            array_fill(today, ARRAY[cardinality(scopes)]), scopes, subjects)
    ON CONFLICT (id, name) DO UPDATE
    SET holder = excluded.holder, reserved = excluded.reserved, most = excluded.most,
        days = excluded.days, scopes = excluded.scopes, subjects = excluded.subjects;
    RETURN NULL;
END $$;

-- Say what a call took; what else was reserved for it is free. False: there is nothing to settle: it
-- was done before, or a later attempt (another holder; NULL: whichever) has taken the call over.
CREATE OR REPLACE FUNCTION settle_tokens(invocation bigint, call text, by bigint, used bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    was reservation;
BEGIN
    SELECT * INTO was FROM reservation r
    WHERE r.id = invocation AND r.name = call AND r.reserved > 0 AND r.holder = coalesce(by, r.holder)
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM hold_budgets(was.tenant, was.days, was.scopes, was.subjects);
    UPDATE budget b SET reserved = b.reserved - was.reserved, spent = b.spent + used
    FROM unnest(was.days, was.scopes, was.subjects) u (day, scope, subject)
    WHERE b.tenant = was.tenant AND b.day = u.day AND b.scope = u.scope AND b.subject = u.subject;
    UPDATE reservation r SET reserved = 0, spent = r.spent + used
    WHERE r.id = invocation AND r.name = call;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION hold_budgets(shop int, days date[], scopes text[], subjects bigint[])
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM unnest(days, scopes, subjects) u (day, scope, subject)
    JOIN budget b ON b.tenant = shop AND b.day = u.day AND b.scope = u.scope AND b.subject = u.subject
    ORDER BY b.tenant, b.day, b.scope, b.subject FOR UPDATE OF b;
END $$;

-- Runs have ended, with the outcome in the same commit: what they reserved and never settled is free.
CREATE OR REPLACE FUNCTION end_reservations(ended bigint[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM reservation r WHERE r.id = ANY (ended) AND r.reserved > 0
    ORDER BY r.id, r.name FOR UPDATE;
    IF FOUND THEN
        PERFORM FROM budget b
        JOIN (SELECT DISTINCT r.tenant, u.day, u.scope, u.subject
              FROM reservation r, unnest(r.days, r.scopes, r.subjects) u (day, scope, subject)
              WHERE r.id = ANY (ended) AND r.reserved > 0) d
          ON b.tenant = d.tenant AND b.day = d.day AND b.scope = d.scope AND b.subject = d.subject
        ORDER BY b.tenant, b.day, b.scope, b.subject FOR UPDATE OF b;
        PERFORM settle_tokens(r.id, r.name, NULL, 0) FROM reservation r
        WHERE r.id = ANY (ended) AND r.reserved > 0;
    END IF;
    DELETE FROM reservation WHERE id = ANY (ended);
END $$;
