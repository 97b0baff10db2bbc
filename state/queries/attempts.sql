-- name: sending
-- Everything a send has to know, in one round trip. Nothing is locked: every write says itself from
-- which state it starts, and the caller's lane lets one sender at a time through.
SELECT m.message_id, m.author, m.class, m.state, m.content,
       c.conversation_id, c.holder, c.window_until, c.address_kind, c.address,
       h.channel_id, h.kind, h.address AS number, h.agent, h.stopped,
       p.opted_out_at IS NOT NULL AS opted_out, s.hours, s.zone, clock_timestamp() AS now,
       coalesce(m.cause_key LIKE 'handover:%', false) AND NOT EXISTS (
           SELECT FROM message o WHERE o.tenant = $1 AND o.conversation_id = m.conversation_id
           AND o.author IN ('person', 'phone') AND o.message_id > m.message_id) AS farewell,
       e.credential_id, e.key_id, e.ciphertext, e.version,
       a.attempt_id, extract(epoch FROM clock_timestamp() - a.started_at)::float8 AS age,
       k.ticks - a.ticks AS lived,
       CASE WHEN k.gap_at > a.started_at
            THEN extract(epoch FROM k.gap_at - a.started_at)::float8 END AS gap,
       coalesce(w.seen_for > a.started_at, false) AS later_status,
       k.unread_seconds AS unread
FROM message m
JOIN conversation c ON c.tenant = $1 AND c.conversation_id = m.conversation_id
JOIN channel h ON h.tenant = $1 AND h.channel_id = c.channel_id
JOIN contact p ON p.tenant = $1 AND p.contact_id = c.contact_id
JOIN shop s ON s.tenant = $1
JOIN intake_clock k ON k.id = 1
LEFT JOIN send_attempt a ON a.tenant = $1 AND a.message_id = m.message_id AND a.state = 'intent'
LEFT JOIN status_watermark w ON w.tenant = $1 AND w.channel_id = h.channel_id
LEFT JOIN credential e ON e.tenant = $1 AND e.purpose = 'whatsapp' AND e.name = h.address
    AND e.state <> 'revoked'
WHERE m.tenant = $1 AND m.message_id = $2 AND m.direction = 'out'

-- name: begin
-- The ticks are read here, not earlier: a pause before this statement must not count as waiting.
WITH begun AS (
    INSERT INTO send_attempt (attempt_id, tenant, message_id, epoch, ticks)
    SELECT $2, $1, $3, $4, ticks FROM intake_clock WHERE id = 1
)
UPDATE message SET state = 'sending' WHERE tenant = $1 AND message_id = $3 AND state = 'pending'

-- name: close
-- An attempt that is over without the message: refused, never begun, or absent.
UPDATE send_attempt
SET state = $3, decided_by = $4, decided_at = clock_timestamp(), http_status = $5,
    provider_code = $6
WHERE tenant = $1 AND attempt_id = $2 AND state = 'intent'
RETURNING message_id

-- name: refused
SELECT count(*) FROM send_attempt
WHERE tenant = $1 AND message_id = $2 AND state = 'rejected'

-- name: stop
-- A message that we do not send, or cannot say of; with the reason. Evidence may still move it.
WITH stopped AS (
    UPDATE message SET state = $3, problem = $4
    WHERE tenant = $1 AND message_id = $2 AND state IN ('pending', 'sending')
    RETURNING message_id
)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'message', ARRAY[message_id] FROM stopped
