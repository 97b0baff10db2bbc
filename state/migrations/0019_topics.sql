-- Whoever follows the change feed says what for: a NOTIFY for each commit, which nobody asked for,
-- serialises commits and wakes every gateway.

ALTER TABLE watcher ADD COLUMN topics text[];  -- NULL: all
