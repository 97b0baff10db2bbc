-- name: unanswered
SELECT message_id, conversation_id, direction, author, wamid, kind, body, content, at, late,
       edited_at, revoked_at, turn, state, problem
FROM message
WHERE tenant = $1 AND conversation_id = $2 AND direction = 'in' AND turn IS NULL
ORDER BY at, message_id

-- name: history
SELECT * FROM (
    SELECT message_id, conversation_id, direction, author, wamid, kind, body, content, at, late,
           edited_at, revoked_at, turn, state, problem
    FROM message WHERE tenant = $1 AND conversation_id = $2
    ORDER BY at DESC, message_id DESC LIMIT $3) newest
ORDER BY at, message_id

-- name: answer_to
-- A silent turn leaves the message unanswered: then the turn that came after it counts.
SELECT i.conversation_id, t.outcome, t.reason, o.body, o.state, o.problem
FROM message i
LEFT JOIN LATERAL (
    SELECT t.turn_id, t.outcome, t.reason FROM turn t
    WHERE t.tenant = $1 AND t.conversation_id = i.conversation_id
      AND (t.turn_id = i.turn OR (i.turn IS NULL AND t.outcome = 'silent'
                                  AND t.ended_at > i.received_at))
    ORDER BY t.turn_id LIMIT 1) t ON true
LEFT JOIN message o ON o.tenant = $1 AND o.turn = t.turn_id AND o.direction = 'out'
WHERE i.tenant = $1 AND i.wamid = $2 AND i.direction = 'in'

-- name: mark_answered
UPDATE message SET turn = $3
WHERE tenant = $1 AND message_id = ANY ($2::bigint[]) AND direction = 'in' AND turn IS NULL
