-- The change feed: rows are read in (xid, change_id) order below the oldest running transaction,
-- so a reader never passes a row that commits later.

CREATE OR REPLACE FUNCTION tell_watchers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A NOTIFY serialises commits: only when somebody watches for just this.
    IF EXISTS (SELECT FROM watcher w, fresh f WHERE w.until > clock_timestamp()
               AND (w.topics IS NULL OR f.topic = ANY (w.topics))) THEN
        PERFORM pg_notify('nexus_change', '');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_watchers AFTER INSERT ON change
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION tell_watchers();

CREATE OR REPLACE FUNCTION note_changes(topic text, tenants int[], ids bigint[])
RETURNS void LANGUAGE sql AS $$
    INSERT INTO change (tenant, topic, ids)
    SELECT u.tenant, topic, array_agg(u.id) FROM unnest(tenants, ids) u (tenant, id)
    GROUP BY u.tenant
$$;
