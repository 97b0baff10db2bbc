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

-- name: mark_answered
UPDATE message SET turn = $3
WHERE tenant = $1 AND message_id = ANY ($2::bigint[]) AND direction = 'in' AND turn IS NULL
