-- name: same
-- The source of that name, when it was read from these very bytes already.
SELECT s.source_id, s.kind, s.name, s.file_id, s.state, s.problem, s.done, s.total, s.refused,
       s.updated_at
FROM source s JOIN stored_file f ON f.tenant = $1 AND f.file_id = s.file_id
WHERE s.tenant = $1 AND s.kind = $2 AND s.name = $3 AND s.state <> 'failed' AND f.body = $4

-- name: give
WITH given AS (
    INSERT INTO source AS s (tenant, kind, name, file_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant, kind, name) DO UPDATE
    SET file_id = excluded.file_id, state = 'waiting', problem = NULL, done = 0, total = NULL,
        refused = '[]', updated_at = clock_timestamp()
    RETURNING source_id, kind, name, file_id, state, problem, done, total, refused, updated_at
), noted AS (
    INSERT INTO change (tenant, topic, ids) SELECT $1, 'source', ARRAY[source_id] FROM given
)
SELECT * FROM given

-- name: one
SELECT source_id, kind, name, file_id, state, problem, done, total, refused, updated_at
FROM source WHERE tenant = $1 AND source_id = $2

-- name: all
SELECT source_id, kind, name, file_id, state, problem, done, total, refused, updated_at
FROM source WHERE tenant = $1 AND kind = $2 ORDER BY name

-- name: named
SELECT source_id FROM source WHERE tenant = $1 AND kind = $2 AND name = $3

-- name: progress
UPDATE source SET state = 'reading', done = $3, total = $4, updated_at = clock_timestamp()
WHERE tenant = $1 AND source_id = $2

-- name: end
WITH ended AS (
    UPDATE source SET state = $3, done = $4, total = coalesce(total, $4), refused = $5::jsonb,
           problem = $6, updated_at = clock_timestamp()
    WHERE tenant = $1 AND source_id = $2 RETURNING source_id
)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'source', ARRAY[source_id] FROM ended

-- name: remove_passages
DELETE FROM passage WHERE tenant = $1 AND source_id = $2

-- name: remove_products
DELETE FROM product WHERE tenant = $1 AND source_id = $2

-- name: remove
DELETE FROM source WHERE tenant = $1 AND source_id = $2

-- name: forget_files
-- Files that no source is read from any more.
DELETE FROM stored_file f WHERE f.tenant = $1
    AND NOT EXISTS (SELECT FROM source s WHERE s.tenant = $1 AND s.file_id = f.file_id)
