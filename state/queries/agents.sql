-- name: situation
-- Columns in the order of Conversation, Channel, Agent; then the sealed key of the model.
SELECT c.conversation_id, c.tenant, c.channel_id, c.contact_id, c.address_kind, c.address, c.holder,
       c.held_reason, c.window_until, c.last_at,
       h.channel_id, h.tenant, h.kind, h.app, h.address, h.display, h.agent, h.quiet_seconds,
       h.stopped,
       coalesce(s.title, s.name), s.language, s.currency, s.zone, a.name, a.instructions, a.model,
       a.base_url, coalesce(a.rounds, 6), coalesce(a.seconds, 240), coalesce(a.tokens, 40000),
       coalesce(a.tokens_per_day, 5000000), a.tokens_per_conversation,
       EXISTS (SELECT FROM product WHERE tenant = $1)
           OR EXISTS (SELECT FROM passage WHERE tenant = $1),
       e.credential_id, e.version, e.key_id, e.ciphertext
FROM conversation c
JOIN channel h ON h.tenant = $1 AND h.channel_id = c.channel_id
JOIN shop s ON s.tenant = $1
LEFT JOIN agent a ON a.tenant = $1
LEFT JOIN credential e ON e.tenant = $1 AND e.purpose = $3 AND e.name = $4 AND e.state <> 'revoked'
WHERE c.tenant = $1 AND c.conversation_id = $2

-- name: profile
-- Columns in the order of Profile.
SELECT s.name, a.name, a.instructions, a.model, a.base_url, coalesce(a.rounds, 6),
       coalesce(a.seconds, 240), coalesce(a.tokens, 40000), coalesce(a.tokens_per_day, 5000000),
       a.tokens_per_conversation, e.updated_at
FROM shop s
LEFT JOIN agent a ON a.tenant = s.tenant
LEFT JOIN credential e ON e.tenant = s.tenant AND e.purpose = $2 AND e.name = $3
    AND e.state <> 'revoked'
WHERE s.tenant > 0 AND ($1::int IS NULL OR s.tenant = $1)
ORDER BY s.name

-- name: begin
INSERT INTO agent (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING
