-- Sessions of the pages. A one-time code is a row too, told apart by its token_fingerprint.

-- name: open
-- $1 digest, $2 csrf, $3 fingerprint of the token
INSERT INTO session (digest, csrf, token_fingerprint) VALUES ($1, $2, $3)

-- name: find
-- $1 digest, $2 fingerprints that are good now -> csrf, stale
SELECT csrf, seen_at < clock_timestamp() - interval '1 minute' AS stale
FROM session
WHERE digest = $1 AND token_fingerprint = ANY ($2::text[])
  AND seen_at > clock_timestamp() - interval '12 hours'
  AND created_at > clock_timestamp() - interval '7 days'

-- name: used
UPDATE session SET seen_at = clock_timestamp() WHERE digest = $1

-- name: close
DELETE FROM session WHERE digest = $1 RETURNING true

-- name: offer_code
-- $1 digest, $2 fingerprint 'code:offered'. The row stays for ever, retention passes it by.
INSERT INTO session (digest, csrf, token_fingerprint, created_at)
VALUES ($1, '', $2, 'infinity') ON CONFLICT (digest) DO NOTHING

-- name: take_code
-- $1 digest, $2 'code:used', $3 'code:offered'
UPDATE session SET token_fingerprint = $2
WHERE digest = $1 AND token_fingerprint = $3 AND seen_at > clock_timestamp() - interval '15 minutes'
RETURNING true
