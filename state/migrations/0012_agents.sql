-- What shops' agents may say of themselves, and the oddities that people look through.

-- A reasoning model thinks for a minute and more; a turn ends within the function's 300 s.
ALTER TABLE agent ALTER COLUMN seconds SET DEFAULT 240;
UPDATE agent SET seconds = 240 WHERE seconds = 60;

ALTER TABLE agent ADD COLUMN base_url text;     -- the shop's own model server; NULL: OPENAI_BASE_URL

CREATE INDEX oddity_age ON oddity (created_at);
