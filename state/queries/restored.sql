-- What has to be so before a restored life may begin. Each says why in docs/operations.md.

-- name: free_work
UPDATE work SET worker = NULL WHERE worker IS NOT NULL

-- name: free_lanes
UPDATE lane x SET worker = NULL, burst_until = NULL, run_at = h.run_at,
       fn = coalesce(h.fn, x.fn), suspect = coalesce(h.suspect, false)
FROM lane y LEFT JOIN LATERAL (
    SELECT k.run_at, k.fn, k.suspect FROM work k
    WHERE k.tenant = y.tenant AND k.lane = y.lane ORDER BY k.id LIMIT 1) h ON true
WHERE y.worker IS NOT NULL AND x.tenant = y.tenant AND x.lane = y.lane

-- name: end_cancelled
-- What somebody wanted to end while it ran does not run again.
WITH asked AS (DELETE FROM cancellation RETURNING id)
SELECT count(cancel_invocation(id)) FROM asked

-- name: free_budgets
-- Calls that were under way reserved them; what they took, nobody can say any more.
UPDATE budget SET reserved = 0 WHERE reserved > 0

-- name: doubt_steps
INSERT INTO step (id, name, state, epoch) SELECT id, $1, 'i', 0 FROM work ON CONFLICT DO NOTHING

-- name: doubt_messages
WITH doubt AS (
    UPDATE message SET state = 'unknown', problem = $1
    WHERE direction = 'out' AND state IN ('pending', 'sending')
    RETURNING tenant, message_id
), closed AS (
    -- A status that comes after all still counts.
    UPDATE send_attempt SET state = 'absent', decided_by = 'operator',
           decided_at = clock_timestamp()
    WHERE state = 'intent'
), told AS (
    INSERT INTO alert (tenant, kind, subject, message)
    SELECT tenant, 'send_unknown', message_id, $2 FROM doubt
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING
)
SELECT tenant, count(*)::int FROM doubt GROUP BY tenant

-- name: hand_over
-- Free text reaches nobody after 24 hours: an older question cannot have been answered meanwhile.
WITH handed AS (
    UPDATE conversation c SET holder = 'person', held_reason = $2
    FROM channel h
    WHERE h.channel_id = c.channel_id AND h.agent AND c.holder = 'agent' AND c.window_until > $1
      AND EXISTS (SELECT FROM message m WHERE m.conversation_id = c.conversation_id
                  AND m.direction = 'in' AND m.turn IS NULL)
    RETURNING c.tenant
)
SELECT tenant, count(*)::int FROM handed GROUP BY tenant

-- name: tell
INSERT INTO alert (tenant, kind, subject, message) VALUES ($1::int, 'restored', $1::int, $2)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
DO UPDATE SET message = excluded.message, created_at = clock_timestamp()

-- name: forget_vectors
WITH products AS (
    UPDATE product SET space = NULL WHERE space IS NOT NULL
), passages AS (
    UPDATE passage SET space = NULL WHERE space IS NOT NULL
)
SELECT tenant FROM product UNION SELECT tenant FROM passage ORDER BY tenant

-- name: forget_edge
WITH applied AS (UPDATE domain SET applied_at = NULL)
UPDATE edge SET reached_at = NULL

-- name: forget_schedule
-- The clock makes the next times anew; those that passed meanwhile were kept, or are missed.
DELETE FROM schedule

-- name: clock
UPDATE intake_clock SET at = clock_timestamp(), gap_at = clock_timestamp()

-- name: note
INSERT INTO restoration (restored_at, snapshot_at, stopped_at, file)
VALUES (clock_timestamp(), $1, coalesce($2, clock_timestamp()), $3)
