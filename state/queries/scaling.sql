-- What every function has to do now. Counting stops at 5,000: by then it is plain what is needed.

-- name: demands
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t),
running AS (
    SELECT fn, count(*) AS count FROM work WHERE worker IS NOT NULL GROUP BY fn
    UNION ALL
    SELECT fn, count(*) FROM lane WHERE worker IS NOT NULL GROUP BY fn),
each AS (
    SELECT s.name, s.minimum, s.maximum, s.concurrency,
           alone.count + lines.count AS waiting,
           least(alone.oldest, lines.oldest) AS oldest,
           coalesce((SELECT sum(r.count) FROM running r WHERE r.fn = s.fn), 0) AS running,
           served.ended, served.seconds
    FROM scaling s CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, min(q.run_at) AS oldest FROM (
            SELECT w.run_at FROM work w
            WHERE w.fn = s.fn AND w.worker IS NULL AND w.lane IS NULL AND NOT w.suspect
              AND w.run_at <= clock.t LIMIT 5000) q) alone
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, min(q.run_at) AS oldest FROM (
            SELECT l.run_at FROM lane l
            WHERE l.fn = s.fn AND l.worker IS NULL AND l.run_at IS NOT NULL AND NOT l.suspect
              AND l.run_at <= clock.t LIMIT 5000) q) lines
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(v.ended), 0) AS ended, coalesce(sum(v.seconds), 0) AS seconds
        FROM service v WHERE v.fn = s.fn) served)
SELECT name AS function, max(minimum)::int AS minimum, max(maximum)::int AS maximum,
       max(concurrency)::int AS concurrency, sum(waiting)::int AS waiting,
       sum(running)::int AS running,
       coalesce(extract(epoch FROM (SELECT t FROM clock) - min(oldest)), 0)::float8
           AS oldest_seconds,
       sum(ended)::bigint AS ended, sum(seconds)::float8 AS seconds
FROM each GROUP BY name ORDER BY name

-- name: declare
INSERT INTO scaling AS s (fn, name, minimum, maximum, concurrency)
SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::int[], $5::int[])
    u (fn, name, minimum, maximum, concurrency)
ORDER BY u.fn
ON CONFLICT (fn) DO UPDATE SET name = excluded.name, minimum = excluded.minimum,
    maximum = excluded.maximum, concurrency = excluded.concurrency
WHERE (s.name, s.minimum, s.maximum, s.concurrency)
    IS DISTINCT FROM (excluded.name, excluded.minimum, excluded.maximum, excluded.concurrency)

-- name: serve
INSERT INTO service AS v (worker_id, fn, ended, seconds)
SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::float8[])
ON CONFLICT (worker_id, fn) DO UPDATE SET ended = excluded.ended, seconds = excluded.seconds
