-- name: all
SELECT d.domain_id, d.tenant, s.name, d.name, d.added_at, d.applied_at
FROM domain d JOIN shop s USING (tenant)
WHERE $1::int IS NULL OR d.tenant = $1
ORDER BY d.name

-- name: one
SELECT d.domain_id, d.tenant, s.name, d.name, d.added_at, d.applied_at
FROM domain d JOIN shop s USING (tenant)
WHERE d.name = $1

-- name: others
-- Another shop's domain in the way of $2: itself; the wildcard that covers it ($3); or, when it is a
-- wildcard, a name one level below what it stands above ($4).
SELECT name FROM domain
WHERE tenant <> $1
  AND (name IN ($2, $3) OR ($2 LIKE '*.%' AND substr(name, strpos(name, '.') + 1) = $4))
ORDER BY name LIMIT 1

-- name: add
-- No row: it is there already.
WITH added AS (
    INSERT INTO domain (tenant, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
    RETURNING domain_id
), noted AS (
    INSERT INTO change (tenant, topic, ids) SELECT $1, 'domain', ARRAY[domain_id] FROM added
)
SELECT domain_id FROM added

-- name: remove
WITH gone AS (
    DELETE FROM domain WHERE name = $1 AND ($2::int IS NULL OR tenant = $2)
    RETURNING domain_id, tenant
), noted AS (
    INSERT INTO change (tenant, topic, ids) SELECT tenant, 'domain', ARRAY[domain_id] FROM gone
)
SELECT domain_id, tenant FROM gone

-- name: applied
UPDATE domain SET applied_at = clock_timestamp() WHERE name = ANY ($1::text[]) AND applied_at IS NULL

-- name: reached
UPDATE edge SET reached_at = clock_timestamp() WHERE id = 1

-- name: since
SELECT extract(epoch FROM clock_timestamp() - reached_at)::float8 FROM edge WHERE id = 1
