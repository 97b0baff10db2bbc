"""Ways to break a database, and what the surgeon has to make of each."""

ROWS = """
INSERT INTO shop (tenant, name) VALUES (1, 'pampa'), (2, 'selva');
INSERT INTO agent (tenant, instructions) VALUES (1, 'be kind');
INSERT INTO app (name, provider) VALUES ('meta', 'whatsapp');
INSERT INTO channel (tenant, kind, app, address, display)
VALUES (1, 'sandbox', 'sandbox', 'a', 'a');
INSERT INTO contact (tenant, name) VALUES (1, 'Ana'), (1, 'Bea');
INSERT INTO contact_alias (tenant, kind, value, contact_id) VALUES (1, 'phone', '1', 1);
INSERT INTO conversation (tenant, channel_id, contact_id, address_kind, address)
VALUES (1, 1, 1, 'phone', '1');
INSERT INTO message (tenant, conversation_id, direction, author, kind, body, content, at, turn)
SELECT 1, 1, 'in', 'shopper', 'text', 'hola ' || n, '{}', clock_timestamp(), 900
FROM generate_series(1, 20) n;
INSERT INTO stored_file (tenant, name, media_type, body) VALUES (1, 'f', 'text/plain', 'x');
INSERT INTO source (tenant, kind, name, file_id) VALUES (1, 'document', 'f', 1);
INSERT INTO passage (tenant, source_id, place, title, body) VALUES (1, 1, 1, 'Envíos', 'gratis');
INSERT INTO function (name) VALUES ('hello'), ('agent_run');
INSERT INTO worker (host, pid, solo, lease_until)
SELECT 'h', n, false, now() FROM generate_series(1, 3) n;
INSERT INTO invocation (id, tenant, fn, event, created_at)
SELECT n, 1, 1, '{}', now() FROM generate_series(1, 50) n;
INSERT INTO work (id, tenant, fn, run_at, worker)
SELECT n, 1, 2, now(), 7 FROM generate_series(1, 50) n;
INSERT INTO alert (tenant, kind, subject, message) VALUES (1, 'dead', 7, 'm');
INSERT INTO change (tenant, topic, ids) VALUES (1, 'x', '{1}');
"""
REPAIRED = {
    "a table is gone": "DROP TABLE session",
    "a table with its first row is gone": "DROP TABLE edge",
    "an unlogged table is gone": "DROP TABLE watcher",
    "a table that others refer to is gone": "DROP TABLE stored_file CASCADE; DELETE FROM passage;"
    " DELETE FROM source",
    "the table of the surgeon's own reports is gone": "DROP TABLE surgery",
    "several tables are gone": "DROP TABLE domain, oddity, turn",
    "a column that may be empty is gone": "ALTER TABLE shop DROP COLUMN hours",
    "a column with a default is gone": "ALTER TABLE shop DROP COLUMN currency",
    "a column of a key is gone": "ALTER TABLE message DROP COLUMN cause_key",
    "a generated column and its index are gone": "ALTER TABLE passage DROP COLUMN words",
    "a numbered column is gone": "ALTER TABLE delivery DROP COLUMN delivery_id",
    "a needed column of an empty table is gone": "ALTER TABLE session DROP COLUMN csrf",
    "a default is gone": "ALTER TABLE conversation ALTER COLUMN holder DROP DEFAULT",
    "NOT NULL is gone and every row has a value": "ALTER TABLE message"
    " ALTER COLUMN kind DROP NOT NULL",
    "numbers are not given out any more": "ALTER TABLE contact"
    " ALTER COLUMN contact_id DROP IDENTITY",
    "a sequence is gone": "DROP SEQUENCE invocation_id",
    "a check is gone": "ALTER TABLE agent DROP CONSTRAINT agent_rounds_check",
    "a check is not validated": "ALTER TABLE agent DROP CONSTRAINT agent_rounds_check,"
    " ADD CONSTRAINT agent_rounds_check CHECK (rounds BETWEEN 1 AND 20) NOT VALID",
    "a primary key is gone": "ALTER TABLE work DROP CONSTRAINT work_pkey",
    "a unique key is gone": "ALTER TABLE message DROP CONSTRAINT message_tenant_wamid_key",
    "a foreign key is gone": "ALTER TABLE message DROP CONSTRAINT message_conversation_id_fkey",
    "an index is gone": "DROP INDEX work_ready",
    "a unique index is gone": "DROP INDEX alert_open",
    "a brin index is gone": "DROP INDEX outcome_age",
    "an index is invalid": "UPDATE pg_index SET indisvalid = false"
    " WHERE indexrelid = 'message_thread'::regclass",
    "a routine is gone": "DROP FUNCTION bury",
    "a routine that a table needs is gone": "DROP FUNCTION words_of CASCADE",
    "a routine does something else": "CREATE OR REPLACE FUNCTION alive(w int) RETURNS void"
    " LANGUAGE sql AS 'SELECT'",
    "a routine runs with its owner's rights": "ALTER FUNCTION become SECURITY DEFINER",
    "a trigger is gone": "DROP TRIGGER tell_watchers ON change",
    "a trigger is switched off": "ALTER TABLE change DISABLE TRIGGER tell_watchers",
    "a trigger fires at other times": "CREATE OR REPLACE TRIGGER tell_watchers"
    " AFTER UPDATE ON change FOR EACH STATEMENT EXECUTE FUNCTION tell_watchers()",
    "a table option is gone": "ALTER TABLE lane RESET (fillfactor)",
    "row level security is off": "ALTER TABLE message DISABLE ROW LEVEL SECURITY",
    "row level security spares the owner": "ALTER TABLE message NO FORCE ROW LEVEL SECURITY",
    "a policy is gone": "DROP POLICY own ON message",
    "a policy shows everything": "ALTER POLICY own ON message USING (true)",
    "a policy is for everybody": "ALTER POLICY engine ON work TO PUBLIC",
    "a grant is gone": "REVOKE INSERT, UPDATE ON message FROM nexus_app",
    "the right to numbers is gone": "REVOKE USAGE ON SEQUENCE invocation_id FROM nexus_engine",
    "the right to a routine is gone": "REVOKE EXECUTE ON FUNCTION become FROM PUBLIC",
    "everything of the roles is gone": "DROP OWNED BY nexus_app; DROP OWNED BY nexus_engine",
}

Refusal = tuple[str, str, str, str]
REFUSED: dict[str, Refusal] = {
    # what: (how it is broken, the SQL in the report, the reason, what the operator does first)
    "a column has another type": (
        "ALTER TABLE agent ALTER COLUMN rounds TYPE bigint",
        "ALTER COLUMN rounds TYPE integer USING rounds::integer",
        "it holds bigint",
        "",
    ),
    "a column is renamed": (
        "ALTER TABLE shop RENAME COLUMN hours TO opening",
        "ALTER TABLE shop RENAME COLUMN opening TO hours",
        "column opening may be it under another name",
        "",
    ),
    "a table is renamed": (
        "ALTER TABLE work RENAME TO work_old",
        "ALTER TABLE work_old RENAME TO work",
        "table work_old may be it under another name",
        "",
    ),
    "a needed column of a table with rows is gone": (
        "ALTER TABLE message DROP COLUMN direction",
        "ADD COLUMN direction text NOT NULL",
        "contains null values",
        "ALTER TABLE message ADD COLUMN direction text NOT NULL DEFAULT 'in';"
        " ALTER TABLE message ALTER COLUMN direction DROP DEFAULT",
    ),
    "NOT NULL is gone and a row has none": (
        "ALTER TABLE message ALTER COLUMN kind DROP NOT NULL;"
        " UPDATE message SET kind = NULL WHERE message_id = 3",
        "ALTER COLUMN kind SET NOT NULL",
        "contains null values",
        "UPDATE message SET kind = 'text' WHERE kind IS NULL",
    ),
    "a check is gone and a row breaks it": (
        "ALTER TABLE agent DROP CONSTRAINT agent_rounds_check; UPDATE agent SET rounds = 99",
        "ADD CONSTRAINT agent_rounds_check CHECK",
        "violated by some row",
        "UPDATE agent SET rounds = 6",
    ),
    "a check allows more": (
        "ALTER TABLE agent DROP CONSTRAINT agent_rounds_check, ADD CONSTRAINT agent_rounds_check"
        " CHECK (rounds BETWEEN 1 AND 99)",
        "ALTER TABLE agent DROP CONSTRAINT agent_rounds_check",
        "only the other rule allows",
        "",
    ),
    "a primary key is gone and numbers occur twice": (
        "ALTER TABLE work DROP CONSTRAINT work_pkey; INSERT INTO work (id, tenant, fn, run_at)"
        " VALUES (3, 1, 1, now())",
        "ALTER TABLE work ADD CONSTRAINT work_pkey PRIMARY KEY (id)",
        "could not create unique index",
        "DELETE FROM work WHERE id = 3",
    ),
    "a unique index is invalid because of rows": (
        "DROP INDEX alert_open; INSERT INTO alert (tenant, kind, subject, message)"
        " VALUES (1, 'dead', 7, 'again'); CREATE UNIQUE INDEX alert_open ON alert (kind, subject)"
        " WHERE resolved_at IS NULL AND false; UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'alert_open'::regclass",
        "CREATE UNIQUE INDEX alert_open",
        "queries may rely on it",
        "DROP INDEX alert_open; DELETE FROM alert WHERE message = 'again'",
    ),
    "rows refer to what is gone": (
        "ALTER TABLE conversation DROP CONSTRAINT conversation_contact_id_fkey;"
        " UPDATE conversation SET contact_id = 77",
        "ADD CONSTRAINT conversation_contact_id_fkey FOREIGN KEY",
        "violates foreign key constraint",
        "UPDATE conversation SET contact_id = 1",
    ),
    "a default is another": (
        "ALTER TABLE conversation ALTER COLUMN holder SET DEFAULT 'person'",
        "ALTER COLUMN holder SET DEFAULT 'agent'::text",
        "somebody has set it to 'person'",
        "",
    ),
    "a default is there that must not": (
        "ALTER TABLE message ALTER COLUMN state SET DEFAULT 'sent'",
        "ALTER COLUMN state DROP DEFAULT",
        "changes or refuses what we write",
        "",
    ),
    "a generated column is a plain one": (
        "ALTER TABLE passage ALTER COLUMN words DROP EXPRESSION",
        "ADD COLUMN words tsvector GENERATED ALWAYS AS",
        "has to be made anew",
        "ALTER TABLE passage DROP COLUMN words",
    ),
    "numbers may be given by anybody": (
        "ALTER TABLE contact ALTER COLUMN contact_id SET GENERATED BY DEFAULT",
        "SET GENERATED ALWAYS",
        "numbers of his own",
        "",
    ),
    "a sequence repeats itself": (
        "ALTER SEQUENCE invocation_id CYCLE",
        "ALTER SEQUENCE invocation_id AS bigint INCREMENT 1 MINVALUE 1",
        "twice",
        "",
    ),
    "an index is on other columns": (
        "DROP INDEX work_ready; CREATE INDEX work_ready ON work (fn)",
        "DROP INDEX work_ready",
        "queries may rely on it",
        "",
    ),
    "a table forgets in a crash": (
        "ALTER TABLE outcome SET UNLOGGED",
        "ALTER TABLE outcome SET LOGGED",
        "writes the whole table again",
        "",
    ),
    "a table option is another": (
        "ALTER TABLE lane SET (fillfactor = 100)",
        "ALTER TABLE lane SET (fillfactor = 70)",
        "somebody has set it to 100",
        "",
    ),
    "an unknown column has to be filled": (
        "ALTER TABLE outcome ADD COLUMN mine int NOT NULL",
        "ALTER TABLE outcome DROP COLUMN mine",
        "our inserts do not name it",
        "",
    ),
    "an unknown check refuses rows": (
        "ALTER TABLE agent ADD CONSTRAINT mine CHECK (rounds < 10)",
        "ALTER TABLE agent DROP CONSTRAINT mine",
        "not ours to remove",
        "",
    ),
    "an unknown unique index refuses rows": (
        "CREATE UNIQUE INDEX mine ON worker (pid)",
        "DROP INDEX mine",
        "it refuses rows that may be ours",
        "",
    ),
    "an unknown trigger acts on our rows": (
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER mine BEFORE INSERT ON work FOR EACH ROW EXECUTE FUNCTION mine()",
        "DROP TRIGGER mine ON work",
        "it acts on what we write",
        "DROP FUNCTION mine CASCADE",
    ),
    "an unknown rule swallows rows": (
        "CREATE RULE mine AS ON INSERT TO work DO INSTEAD NOTHING",
        "DROP RULE mine ON work",
        "it acts on what we write",
        "",
    ),
    "an unknown policy opens a table": (
        "CREATE POLICY mine ON message TO nexus_app USING (true)",
        "DROP POLICY mine ON message",
        "it may show rows",
        "",
    ),
    "handlers may read sessions": (
        "GRANT SELECT ON session TO nexus_app",
        "REVOKE SELECT ON TABLE session FROM nexus_app, PUBLIC",
        "a role may do what it must not",
        "",
    ),
    "the audit log can be rewritten by everybody": (
        "GRANT UPDATE ON audit_log TO PUBLIC",
        "REVOKE UPDATE ON TABLE audit_log FROM nexus_engine, PUBLIC",
        "a role may do what it must not",
        "",
    ),
    "a routine returns something else": (
        "DROP FUNCTION folded CASCADE; CREATE FUNCTION folded(value text) RETURNS int"
        " LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION folded",
        "cannot change return type",
        "DROP FUNCTION folded CASCADE",
    ),
}

# of unknown origin, and in nobody's way
LEFT = {
    "a table": "CREATE TABLE mine (id int PRIMARY KEY, note text NOT NULL)",
    "a table that everybody may read": "CREATE TABLE mine (id int); GRANT ALL ON mine TO PUBLIC",
    "a column that may be empty": "ALTER TABLE message ADD COLUMN mine text",
    "a column with a default": "ALTER TABLE message ADD COLUMN mine int NOT NULL DEFAULT 0",
    "an index": "CREATE INDEX mine ON message (body)",
    "a routine": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a sequence": "CREATE SEQUENCE mine",
    "a table option": "ALTER TABLE message SET (autovacuum_vacuum_threshold = 9)",
}
