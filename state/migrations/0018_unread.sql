-- The intake clock ticks on while deliveries wait to be read, and says how far behind their readers
-- are: silence counts up to the oldest of them, and no further.

ALTER TABLE intake_clock ADD COLUMN unread_seconds float8 NOT NULL DEFAULT 0;
