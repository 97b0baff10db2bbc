-- name: one
SELECT conversation_id, tenant, channel_id, contact_id, address_kind, address, holder, held_reason,
       window_until, last_at
FROM conversation WHERE tenant = $1 AND conversation_id = $2

-- name: lock
SELECT conversation_id, tenant, channel_id, contact_id, address_kind, address, holder, held_reason,
       window_until, last_at
FROM conversation WHERE tenant = $1 AND conversation_id = $2 FOR UPDATE

-- name: at
SELECT c.conversation_id, c.tenant, c.channel_id, c.contact_id, c.address_kind, c.address, c.holder,
       c.held_reason, c.window_until, c.last_at
FROM contact_alias a
JOIN conversation c ON c.tenant = $1 AND c.contact_id = a.contact_id AND c.channel_id = $2
WHERE a.tenant = $1 AND a.kind = 'phone' AND a.value = $3

-- name: take_floor
SELECT c.holder, c.held_reason, h.agent
FROM conversation c JOIN channel h ON h.tenant = $1 AND h.channel_id = c.channel_id
WHERE c.tenant = $1 AND c.conversation_id = $2 FOR UPDATE OF c

-- name: hand
WITH changed AS (
    UPDATE conversation SET holder = $3, held_reason = $4
    WHERE tenant = $1 AND conversation_id = $2 AND holder <> $3
    RETURNING conversation_id
), noted AS (
    INSERT INTO change (tenant, topic, ids)
    SELECT $1, 'conversation', ARRAY[conversation_id] FROM changed
)
SELECT conversation_id FROM changed

-- name: list
SELECT c.conversation_id, p.name, c.address, h.display, c.holder, c.held_reason, c.window_until,
       c.last_at, m.author, m.body, m.kind, m.state, coalesce(u.count, 0), u.since
FROM conversation c
JOIN contact p ON p.tenant = c.tenant AND p.contact_id = c.contact_id
JOIN channel h ON h.tenant = c.tenant AND h.channel_id = c.channel_id
LEFT JOIN LATERAL (
    SELECT author, body, kind, state FROM message
    WHERE tenant = c.tenant AND conversation_id = c.conversation_id
    ORDER BY at DESC, message_id DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS count, min(at) AS since FROM message
    WHERE tenant = c.tenant AND conversation_id = c.conversation_id
      AND direction = 'in' AND turn IS NULL) u ON true
WHERE c.tenant = $1 AND ($3::timestamptz IS NULL OR c.last_at < $3)
  AND ($4 = '' OR position(folded($4) IN folded(coalesce(p.name, ''))) > 0
       OR position($4 IN c.address) > 0
       OR EXISTS (SELECT FROM message s WHERE s.tenant = c.tenant
                  AND s.conversation_id = c.conversation_id
                  AND position(folded($4) IN folded(coalesce(s.body, ''))) > 0))
ORDER BY c.last_at DESC, c.conversation_id DESC LIMIT $2
