-- name: at
SELECT channel_id, tenant, kind, app, address, display, agent, quiet_seconds, stopped
FROM channel WHERE app = $1 AND address = ANY ($2::text[])

-- name: one
SELECT channel_id, tenant, kind, app, address, display, agent, quiet_seconds, stopped
FROM channel WHERE tenant = $1 AND channel_id = $2

-- name: all
SELECT channel_id, tenant, kind, app, address, display, agent, quiet_seconds, stopped
FROM channel WHERE tenant = $1 ORDER BY channel_id

-- name: add
-- No row: another shop has that address. Row level security hides theirs, so an update of it
-- would fail loudly; the WHERE keeps the same promise where roles are forbidden.
WITH added AS (
    INSERT INTO channel AS c (tenant, kind, app, address, display) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (app, address) DO UPDATE SET display = excluded.display
    WHERE c.tenant = excluded.tenant
    RETURNING channel_id, tenant, kind, app, address, display, agent, quiet_seconds, stopped
), noted AS (
    INSERT INTO change (tenant, topic, ids) SELECT $1, 'channel', ARRAY[channel_id] FROM added
)
SELECT * FROM added

-- name: stop
WITH changed AS (
    UPDATE channel SET stopped = $3
    WHERE tenant = $1 AND channel_id = $2 AND stopped IS DISTINCT FROM $3
    RETURNING channel_id)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'channel', ARRAY[channel_id] FROM changed

-- name: agent
WITH changed AS (
    UPDATE channel SET agent = $3
    WHERE tenant = $1 AND channel_id = $2 AND agent <> $3
    RETURNING channel_id)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'channel', ARRAY[channel_id] FROM changed

-- name: quiet
UPDATE channel SET quiet_seconds = $3
WHERE tenant = $1 AND channel_id = $2 AND quiet_seconds <> $3
