-- Which of these attempts are ours, and stay so until this transaction has committed. No row is
-- locked: whoever would take work from us (reap, reconcile) waits for the lock that alive() takes.
CREATE OR REPLACE FUNCTION owned(
    w int, ids bigint[], epochs bigint[], tenants int[], lanes bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM alive(w);
    RETURN ARRAY(
        SELECT d.id FROM unnest(ids, epochs, tenants, lanes) d (id, epoch, tenant, lane)
        WHERE CASE WHEN d.lane IS NULL
              THEN EXISTS (SELECT FROM work k
                           WHERE k.id = d.id AND k.worker = w AND k.epoch = d.epoch)
              ELSE EXISTS (SELECT FROM lane x WHERE x.tenant = d.tenant AND x.lane = d.lane
                           AND x.worker = w AND x.epoch = d.epoch) END);
END $$;

-- Chunks of many attempts in one commit; who follows is told of them all at once. A stream holds up
-- no lane. A chunk without a text is none: it only has followers look again. Returns the ids that
-- were not ours any more.
CREATE OR REPLACE FUNCTION record_chunks(
    w int, ids bigint[], epochs bigint[], tenants int[], lanes bigint[], places int[], texts text[]
) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    ours bigint[] := '{}';
BEGIN
    IF num_nonnulls(VARIADIC texts) = 0 THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSE
        ours := owned(w, ids, epochs, tenants, lanes);
        INSERT INTO chunk (id, epoch, place, data)
        SELECT d.id, d.epoch, d.place, d.data
        FROM unnest(ids, epochs, places, texts) d (id, epoch, place, data)
        WHERE d.data IS NOT NULL AND d.id = ANY (ours)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM pg_notify('nexus_stream', string_agg(DISTINCT d.id::text, ',')) FROM unnest(ids) d (id);
    RETURN QUERY
    SELECT d.id FROM unnest(ids, texts) d (id, data)
    WHERE d.data IS NOT NULL AND NOT d.id = ANY (ours);
END $$;
