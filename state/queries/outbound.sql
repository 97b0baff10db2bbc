-- name: queue
-- One row: the new message, or NULL when the cause is known. No row: no such conversation.
WITH conversation_here AS (
    SELECT conversation_id FROM conversation WHERE tenant = $1 AND conversation_id = $2
), queued AS (
    INSERT INTO message (tenant, conversation_id, direction, author, cause_key, kind, body,
                         content, class, turn, at, state)
    SELECT $1, conversation_id, 'out', $3, $4, 'text', $5, $6::jsonb, $7, $8, clock_timestamp(),
           'pending'
    FROM conversation_here
    ON CONFLICT (tenant, cause_key) DO NOTHING
    RETURNING message_id, conversation_id, at
), noted AS (
    INSERT INTO change (tenant, topic, ids)
    SELECT $1, 'message', ARRAY[message_id] FROM queued
), touched AS (
    UPDATE conversation c SET last_at = greatest(c.last_at, q.at)
    FROM queued q WHERE c.tenant = $1 AND c.conversation_id = q.conversation_id
)
SELECT (SELECT message_id FROM queued) AS message_id FROM conversation_here

-- name: told_of
-- Whom a status is about: by the token, which names the attempt even before its answer is stored;
-- else by the wamid. What was typed in the merchant's own WhatsApp has no attempt.
SELECT a.message_id, a.attempt_id, a.state, a.started_at
FROM send_attempt a
WHERE a.tenant = $1 AND a.attempt_id = $2
UNION ALL
SELECT m.message_id, a.attempt_id, a.state, a.started_at
FROM message m LEFT JOIN send_attempt a
    ON a.tenant = $1 AND a.message_id = m.message_id AND a.state = 'accepted'
WHERE m.tenant = $1 AND m.wamid = $3 AND m.direction = 'out'
LIMIT 1

-- name: accept
WITH taken AS (
    UPDATE send_attempt
    SET state = 'accepted', wamid = $3, decided_by = $4, decided_at = clock_timestamp(),
        http_status = $6
    WHERE tenant = $1 AND attempt_id = $2 AND state = 'intent'
    RETURNING message_id
), moved AS (
    UPDATE message m
    SET state = $5, problem = NULL,
        wamid = coalesce(m.wamid, CASE WHEN NOT EXISTS (
            SELECT FROM message o WHERE o.tenant = $1 AND o.wamid = $3) THEN $3 END)
    FROM taken
    WHERE m.tenant = $1 AND m.message_id = taken.message_id
      AND m.state IN ('pending', 'sending', 'unknown', 'withheld')
    RETURNING m.message_id
), noted AS (
    INSERT INTO change (tenant, topic, ids) SELECT $1, 'message', ARRAY[message_id] FROM moved
), reached AS (                         -- the provider answers again: nobody has to look any more
    UPDATE alert a SET resolved_at = clock_timestamp(), resolved_by = 'nexus'
    FROM taken, message m, conversation c
    WHERE a.tenant = $1 AND a.kind = 'unreached' AND a.resolved_at IS NULL
      AND m.tenant = $1 AND m.message_id = taken.message_id
      AND c.tenant = $1 AND c.conversation_id = m.conversation_id AND a.subject = c.channel_id
    RETURNING a.subject
), told AS (
    INSERT INTO change (tenant, topic, ids) SELECT $1, 'alert', ARRAY[subject] FROM reached
)
SELECT message_id FROM taken

-- name: accept_late
-- The attempt was given up: absent or rejected. The index allows one attempt that is under way or
-- accepted, so when there is another one, this one only keeps its wamid, and people are told.
WITH late AS (
    SELECT a.attempt_id, a.message_id, a.wamid IS NULL AS first, EXISTS (
        SELECT FROM send_attempt o WHERE o.tenant = $1 AND o.message_id = a.message_id
        AND o.state IN ('intent', 'accepted')) AS again
    FROM send_attempt a
    WHERE a.tenant = $1 AND a.attempt_id = $2 AND a.state IN ('absent', 'rejected')
), taken AS (
    UPDATE send_attempt a
    SET state = CASE WHEN late.again THEN a.state ELSE 'accepted' END, wamid = $3,
        decided_by = $4, decided_at = clock_timestamp(), http_status = coalesce($5, http_status)
    FROM late WHERE a.tenant = $1 AND a.attempt_id = late.attempt_id
), told AS (
    INSERT INTO alert (tenant, kind, subject, message)
    SELECT $1, 'arrived_twice', message_id,
        'A message may have arrived twice: WhatsApp told of the first copy after a second was sent.'
    FROM late WHERE again AND first
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING
)
SELECT message_id FROM late

-- name: name
UPDATE message SET wamid = $3
WHERE tenant = $1 AND message_id = $2 AND wamid IS NULL
  AND NOT EXISTS (SELECT FROM message o WHERE o.tenant = $1 AND o.wamid = $3)

-- name: forward
-- $3: the new state; what is no state of ours moves nothing. $4: why it failed.
WITH rank (state, place) AS (VALUES
    ('pending', 0), ('withheld', 1), ('unknown', 1), ('sending', 1), ('accepted', 2), ('sent', 3),
    ('failed', 4), ('delivered', 5), ('read', 6)
), moved AS (
    UPDATE message m
    SET state = CASE WHEN there.place > here.place THEN $3 ELSE m.state END,
        problem = CASE WHEN $4::text IS NOT NULL THEN $4
                       WHEN m.state IN ('withheld', 'unknown') THEN NULL
                       ELSE m.problem END
    FROM rank here, rank there
    WHERE m.tenant = $1 AND m.message_id = $2 AND here.state = m.state AND there.state = $3
      AND (there.place > here.place OR $4::text <> coalesce(m.problem, ''))
    RETURNING m.message_id
)
INSERT INTO change (tenant, topic, ids) SELECT $1, 'message', ARRAY[message_id] FROM moved

-- name: watermark
-- Statuses of one number come in many transactions at once: whoever finds the row locked leaves it
-- to the next status, so that nobody waits and nobody can deadlock.
WITH here AS (
    SELECT c.channel_id FROM message m JOIN conversation c USING (conversation_id)
    WHERE m.tenant = $1 AND c.tenant = $1 AND m.message_id = $2
), free AS (
    SELECT w.channel_id FROM status_watermark w JOIN here USING (channel_id)
    WHERE w.tenant = $1 AND w.seen_for < $3 FOR UPDATE OF w SKIP LOCKED
), moved AS (
    UPDATE status_watermark w SET seen_for = $3
    FROM free WHERE w.tenant = $1 AND w.channel_id = free.channel_id
)
INSERT INTO status_watermark (tenant, channel_id, seen_for)
SELECT $1, channel_id, $3 FROM here
WHERE NOT EXISTS (SELECT FROM status_watermark w WHERE w.tenant = $1
                  AND w.channel_id = here.channel_id)
ON CONFLICT DO NOTHING

-- name: alert
INSERT INTO alert (tenant, kind, subject, message) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING

-- name: channel_of
SELECT c.channel_id FROM message m JOIN conversation c USING (conversation_id)
WHERE m.tenant = $1 AND c.tenant = $1 AND m.message_id = $2

-- name: opt_out
UPDATE contact p SET opted_out_at = clock_timestamp()
FROM message m JOIN conversation c USING (conversation_id)
WHERE m.tenant = $1 AND c.tenant = $1 AND m.message_id = $2
  AND p.tenant = $1 AND p.contact_id = c.contact_id AND p.opted_out_at IS NULL
