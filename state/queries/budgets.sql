-- name: accounts
-- Columns in the order of Account. Limits are as they are now, not as they were when reserved.
WITH today AS (
    SELECT s.tenant, s.name, (clock_timestamp() AT TIME ZONE s.zone)::date AS day,
           coalesce(a.tokens_per_day, 5000000) AS per_day, a.tokens_per_conversation
    FROM shop s LEFT JOIN agent a ON a.tenant = s.tenant
    WHERE s.tenant > 0 AND ($1::int IS NULL OR s.tenant = $1))
SELECT * FROM (
SELECT t.name, 'day' AS scope, 0::bigint AS subject, t.day, coalesce(b.spent, 0) AS spent,
       coalesce(b.reserved, 0) AS reserved, t.per_day AS most
FROM today t
LEFT JOIN budget b ON b.tenant = t.tenant AND b.day = t.day AND b.scope = 'day' AND b.subject = 0
UNION ALL
SELECT t.name, 'conversation', b.subject, b.day, b.spent, b.reserved,
       coalesce(t.tokens_per_conversation, b.most)
FROM today t
JOIN budget b ON b.tenant = t.tenant AND b.day = t.day AND b.scope = 'conversation'
UNION ALL
SELECT t.name, 'run', r.id, NULL, sum(r.spent)::bigint, sum(r.reserved)::bigint, max(r.most)
FROM today t JOIN reservation r ON r.tenant = t.tenant
WHERE r.most IS NOT NULL GROUP BY t.name, r.id) a
ORDER BY name, scope <> 'day', scope <> 'conversation', spent DESC, subject
