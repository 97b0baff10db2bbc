-- Steps of many attempts in one commit. The row that is owned is the fence: a step of an attempt
-- whose lane or work row has another worker or epoch is not stored.
--
-- states: 'i' intent of a writing step, 'd' done. fates: 's' stored, 'e' there was one before,
-- 'f' fenced.
CREATE OR REPLACE FUNCTION record_steps(
    w int, ids bigint[], epochs bigint[], tenants int[], lanes bigint[], names text[],
    states "char"[], results text[]
) RETURNS TABLE (id bigint, name text, fate "char") LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ours bigint[] := '{}';
    more bigint[];
    stored text[];
BEGIN
    PERFORM alive(w);
    IF num_nonnulls(VARIADIC lanes) > 0 THEN
        SELECT array_agg(o.id) INTO more FROM (
            SELECT d.id FROM unnest(ids, epochs, tenants, lanes) d (id, epoch, tenant, lane)
            JOIN lane x ON x.tenant = d.tenant AND x.lane = d.lane
            WHERE x.worker IS NOT DISTINCT FROM w AND x.epoch = d.epoch
            ORDER BY x.tenant, x.lane FOR UPDATE OF x) o;
        ours := coalesce(more, '{}');
    END IF;
    IF num_nulls(VARIADIC lanes) > 0 THEN
        SELECT array_agg(o.id) INTO more FROM (
            SELECT k.id FROM unnest(ids, epochs, lanes) d (id, epoch, lane)
            JOIN work k ON k.id = d.id
            WHERE d.lane IS NULL AND k.worker IS NOT DISTINCT FROM w AND k.epoch = d.epoch
            ORDER BY k.id FOR UPDATE OF k) o;
        ours := ours || coalesce(more, '{}');
    END IF;
    WITH put AS (
        INSERT INTO step (id, name, state, epoch, result, writes)
        SELECT d.id, d.name, d.state, d.epoch, d.result, d.state = 'i'
        FROM unnest(ids, names, states, epochs, results) d (id, name, state, epoch, result)
        WHERE d.id = ANY (ours) ORDER BY d.id, d.name
        ON CONFLICT DO NOTHING RETURNING step.id || '/' || step.name AS one)
    SELECT coalesce(array_agg(put.one), '{}') INTO stored FROM put;
    RETURN QUERY
    SELECT d.id, d.name, CASE WHEN NOT d.id = ANY (ours) THEN 'f'
                              WHEN d.id || '/' || d.name = ANY (stored) THEN 's'
                              ELSE 'e' END::"char"
    FROM unnest(ids, names) d (id, name);
END $$;

-- Begin a handler's transaction: see one shop alone. False: the work is not ours any more. Nothing
-- is locked yet: a handler locks its own rows first, and lanes are locked last by everybody, in one
-- order, so that handlers do not wait for each other in a circle.
CREATE OR REPLACE FUNCTION enter(
    invocation bigint, w int, e bigint, shop int, line bigint, roles boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF line IS NULL THEN
        PERFORM FROM work WHERE id = invocation AND worker IS NOT DISTINCT FROM w AND epoch = e;
    ELSE
        PERFORM FROM lane WHERE tenant = shop AND lane = line AND worker IS NOT DISTINCT FROM w AND epoch = e;
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM become(shop, roles);
    RETURN true;
END $$;

-- The same as one word, said in the round trip that begins the transaction: fails instead (NX002).
CREATE OR REPLACE FUNCTION must_enter(
    invocation bigint, w int, e bigint, shop int, line bigint, roles boolean
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT enter(invocation, w, e, shop, line, roles) THEN
        RAISE EXCEPTION 'this work is not ours any more' USING ERRCODE = 'NX002';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION become(shop int, roles boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant', shop::text, true);
    IF roles THEN
        PERFORM set_config('role', 'nexus_app', true);
    END IF;
END $$;

-- End it, as the engine: hold what the attempt owns until the commit, and store the events that go
-- with it. False: it is not ours any more, and nothing may be committed.
CREATE OR REPLACE FUNCTION leave(
    invocation bigint, w int, e bigint, shop int, line bigint, roles boolean,
    tenants int[], fns int[], lanes bigint[], events text[], delays float8[], caps float8[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF roles THEN
        PERFORM set_config('role', 'nexus_engine', true);
    END IF;
    PERFORM FROM lane x
    WHERE (x.tenant, x.lane) IN (SELECT shop, line UNION SELECT u.tenant, u.lane
                                 FROM unnest(tenants, lanes) u (tenant, lane))
    ORDER BY x.tenant, x.lane FOR UPDATE;
    IF line IS NULL THEN
        PERFORM FROM work WHERE id = invocation AND worker IS NOT DISTINCT FROM w AND epoch = e FOR UPDATE;
    ELSE
        PERFORM FROM lane WHERE tenant = shop AND lane = line AND worker IS NOT DISTINCT FROM w AND epoch = e;
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cardinality(fns) > 0 THEN
        PERFORM dispatch(
            tenants, fns, lanes, events, array_fill(NULL::int, ARRAY[cardinality(fns)]), delays,
            caps, array_fill(NULL::text, ARRAY[cardinality(fns)]),
            array_fill(NULL::text, ARRAY[cardinality(fns)]), false);
    END IF;
    RETURN true;
END $$;
