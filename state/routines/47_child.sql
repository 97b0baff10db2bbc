-- Call children of running invocations: each is stored once for its parent and name, and a later
-- attempt of the parent gets the same one. One row each, in order. fates: 'n' new, 'r' repeated,
-- 'k' the name was used for another event, 'f' fenced: the parent is not ours, or is being cancelled.
CREATE OR REPLACE FUNCTION call_children(
    w int, parents bigint[], epochs bigint[], tenants int[], parent_lanes bigint[], names text[],
    fingerprints text[], fns int[], lanes bigint[], events text[], reply_tos int[], delays float8[],
    caps float8[], wake boolean
) RETURNS TABLE (id bigint, fate "char") LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ours bigint[] := owned(w, parents, epochs, tenants, parent_lanes);
    fresh int[];
    ids bigint[];
BEGIN
    -- Whoever cancels a parent locks this row and then looks for its children: either it sees what
    -- is stored here, or we see that it is being cancelled.
    PERFORM FROM work k WHERE k.id = ANY (ours) ORDER BY k.id FOR UPDATE;
    ours := ARRAY(SELECT o FROM unnest(ours) o
                  WHERE NOT EXISTS (SELECT FROM cancellation c WHERE c.id = o));
    -- A child that was forgotten before its parent is called anew.
    DELETE FROM child c USING unnest(parents, names) u (parent, name)
    WHERE c.parent = u.parent AND c.name = u.name AND u.parent = ANY (ours)
      AND NOT EXISTS (SELECT FROM invocation i WHERE i.id = c.id);
    WITH mine AS (
        INSERT INTO child AS c (parent, name, fingerprint)
        SELECT u.parent, u.name, u.fingerprint
        FROM unnest(parents, names, fingerprints) u (parent, name, fingerprint)
        WHERE u.parent = ANY (ours) ORDER BY u.parent, u.name
        ON CONFLICT DO NOTHING RETURNING c.parent, c.name)
    SELECT array_agg(u.place ORDER BY u.place) INTO fresh
    FROM unnest(parents, names) WITH ORDINALITY u (parent, name, place)
    JOIN mine m ON m.parent = u.parent AND m.name = u.name;
    IF fresh IS NOT NULL THEN
        SELECT array_agg(d.id ORDER BY d.id) INTO ids FROM (
            SELECT array_agg(tenants[p] ORDER BY p) AS tenants, array_agg(fns[p] ORDER BY p) AS fns,
                   array_agg(lanes[p] ORDER BY p) AS lanes, array_agg(events[p] ORDER BY p) AS events,
                   array_agg(reply_tos[p] ORDER BY p) AS reply_tos,
                   array_agg(delays[p] ORDER BY p) AS delays, array_agg(caps[p] ORDER BY p) AS caps,
                   array_agg(NULL::text) AS nothing
            FROM unnest(fresh) p) a,
            dispatch(a.tenants, a.fns, a.lanes, a.events, a.reply_tos, a.delays, a.caps, a.nothing,
                     a.nothing, wake) d;
        UPDATE child c SET id = u.id FROM unnest(fresh, ids) u (place, id)
        WHERE c.parent = parents[u.place] AND c.name = names[u.place];
    END IF;
    RETURN QUERY
    SELECT c.id, CASE WHEN NOT u.parent = ANY (ours) THEN 'f'
                      WHEN c.fingerprint <> u.fingerprint THEN 'k'
                      WHEN u.place = ANY (fresh) THEN 'n' ELSE 'r' END::"char"
    FROM unnest(parents, names, fingerprints) WITH ORDINALITY u (parent, name, fingerprint, place)
    LEFT JOIN child c ON c.parent = u.parent AND c.name = u.name
    ORDER BY u.place;
END $$;
