-- What people see of invocations. State: an outcome's state; else running when the row or its lane
-- is owned and it is the head of its lane; else waiting.

-- name: shape
WITH picked AS MATERIALIZED ({picked})
SELECT a.id, a.tenant, f.name AS function,
       CASE o.state WHEN 'd' THEN 'done' WHEN 'x' THEN 'dead' WHEN 'c' THEN 'cancelled'
            ELSE CASE WHEN w.worker IS NOT NULL OR (x.worker IS NOT NULL AND h.head = a.id)
                      THEN 'running' ELSE 'waiting' END END AS state,
       a.lane IS NOT NULL AS lane,
       coalesce(w.errors, (SELECT count(*) FROM failure e WHERE e.id = a.id AND e.kind <> 'crash'))::int
           AS errors,
       coalesce(w.crashes, (SELECT count(*) FROM failure e WHERE e.id = a.id AND e.kind = 'crash'))::int
           AS crashes,
       a.created_at, w.run_at, o.done_at,
       CASE WHEN o.state IN ('x', 'c') THEN o.result
            ELSE (SELECT e.message FROM failure e WHERE e.id = a.id ORDER BY e.at DESC LIMIT 1) END
           AS error,
       CASE WHEN EXISTS (SELECT FROM permit e WHERE e.id = w.id AND e.worker IS NULL) THEN 'permit'
            WHEN EXISTS (SELECT FROM rate_slot v WHERE v.id = w.id) THEN 'slot' END AS waits_for
FROM picked p
JOIN invocation a ON a.id = p.id
JOIN function f ON f.fn = a.fn
LEFT JOIN outcome o ON o.id = a.id
LEFT JOIN work w ON w.id = a.id
LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
LEFT JOIN LATERAL (SELECT min(z.id) AS head FROM work z
                   WHERE z.tenant = w.tenant AND z.lane = w.lane) h ON true
ORDER BY a.id DESC

-- name: any
SELECT i.id FROM invocation i
WHERE ($1::int IS NULL OR i.tenant = $1) AND ($2::int IS NULL OR i.fn = $2)
  AND ($3::bigint IS NULL OR i.id < $3)
ORDER BY i.id DESC LIMIT $4

-- name: done
SELECT i.id FROM invocation i JOIN outcome o ON o.id = i.id AND o.state = 'd'
WHERE ($1::int IS NULL OR i.tenant = $1) AND ($2::int IS NULL OR i.fn = $2)
  AND ($3::bigint IS NULL OR i.id < $3)
ORDER BY i.id DESC LIMIT $4

-- name: dead
SELECT i.id FROM outcome o JOIN invocation i ON i.id = o.id
WHERE o.state = 'x' AND ($1::int IS NULL OR i.tenant = $1) AND ($2::int IS NULL OR i.fn = $2)
  AND ($3::bigint IS NULL OR i.id < $3)
ORDER BY i.id DESC LIMIT $4

-- name: cancelled
SELECT i.id FROM outcome o JOIN invocation i ON i.id = o.id
WHERE o.state = 'c' AND ($1::int IS NULL OR i.tenant = $1) AND ($2::int IS NULL OR i.fn = $2)
  AND ($3::bigint IS NULL OR i.id < $3)
ORDER BY i.id DESC LIMIT $4

-- name: waiting
SELECT w.id FROM work w LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
WHERE w.worker IS NULL
  AND (x.worker IS NULL OR EXISTS (SELECT FROM work z WHERE z.tenant = w.tenant
                                   AND z.lane = w.lane AND z.id < w.id))
  AND ($1::int IS NULL OR w.tenant = $1) AND ($2::int IS NULL OR w.fn = $2)
  AND ($3::bigint IS NULL OR w.id < $3)
ORDER BY w.id DESC LIMIT $4

-- name: running
SELECT w.id FROM work w LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane
WHERE (w.worker IS NOT NULL
       OR (x.worker IS NOT NULL AND NOT EXISTS (SELECT FROM work z WHERE z.tenant = w.tenant
                                                AND z.lane = w.lane AND z.id < w.id)))
  AND ($1::int IS NULL OR w.tenant = $1) AND ($2::int IS NULL OR w.fn = $2)
  AND ($3::bigint IS NULL OR w.id < $3)
ORDER BY w.id DESC LIMIT $4

-- name: these
SELECT unnest($1::bigint[]) AS id

-- name: counts
SELECT f.name AS function, s.state, s.count, s.oldest_waiting_seconds FROM function f JOIN (
    SELECT w.fn,
           CASE WHEN w.worker IS NOT NULL
                  OR (x.worker IS NOT NULL AND NOT EXISTS (
                      SELECT FROM work z WHERE z.tenant = w.tenant AND z.lane = w.lane
                      AND z.id < w.id)) THEN 'running' ELSE 'waiting' END AS state,
           count(*)::int AS count,
           greatest(0, extract(epoch FROM clock_timestamp() - min(w.run_at)))::float8
               AS oldest_waiting_seconds
    FROM work w LEFT JOIN lane x ON x.tenant = w.tenant AND x.lane = w.lane GROUP BY 1, 2
    UNION ALL
    SELECT i.fn, CASE o.state WHEN 'x' THEN 'dead' ELSE 'cancelled' END, count(*)::int, 0
    FROM outcome o JOIN invocation i ON i.id = o.id WHERE o.state <> 'd' GROUP BY 1, 2
    UNION ALL
    SELECT i.fn, 'done', count(*)::int, 0
    FROM outcome o JOIN invocation i ON i.id = o.id
    WHERE o.state = 'd' AND o.done_at > clock_timestamp() - interval '1 day' GROUP BY 1
) s ON s.fn = f.fn ORDER BY 1, 2
