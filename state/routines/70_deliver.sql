-- Take what providers posted: the raw bytes and the invocation that will read them, in one commit.
-- Returns the deliveries' ids, in order. The event is {"delivery_id", "app", "sender"}.

CREATE OR REPLACE FUNCTION take_deliveries(
    apps text[], senders text[], bodies bytea[], fns int[], lanes bigint[], wake boolean
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    WITH put AS (
        INSERT INTO delivery (app, body)
        SELECT u.app, u.body FROM unnest(apps, bodies) WITH ORDINALITY u (app, body, place)
        ORDER BY u.place RETURNING delivery_id)
    SELECT array_agg(put.delivery_id ORDER BY put.delivery_id) INTO ids FROM put;
    PERFORM dispatch(
        array_fill(0, ARRAY[cardinality(ids)]), fns, lanes,
        ARRAY(SELECT json_build_object('delivery_id', u.id, 'app', u.app, 'sender', u.sender)::text
              FROM unnest(ids, apps, senders) WITH ORDINALITY u (id, app, sender, place)
              ORDER BY u.place),
        '{}', '{}', '{}', '{}', '{}', wake);
    RETURN ids;
END $$;
