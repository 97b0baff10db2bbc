-- What decides when claimed work may start: rates, and permits by key and for all processes.
-- All four tables are of a running life: see FLEETING in state/backup/dump.py.

CREATE TABLE rate (                     -- a line of attempts that start at a pace
    fn int NOT NULL,
    tenant int NOT NULL,                -- -1: all shops together
    key bigint NOT NULL,                -- hash of the event's field; 0: the function has one line
    served bigint NOT NULL DEFAULT 0,   -- the highest ticket that has started
    served_at timestamptz NOT NULL DEFAULT '-infinity',  -- when the last start counts; see admit()
    PRIMARY KEY (fn, tenant, key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        vacuum_truncate = off);

CREATE TABLE rate_slot (              -- work that waits for its slot; deleted when it starts or ends
    id bigint PRIMARY KEY,
    fn int NOT NULL,
    tenant int NOT NULL,
    key bigint NOT NULL,
    ticket bigint NOT NULL              -- its place in the line
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        vacuum_truncate = off);
CREATE INDEX rate_slot_line ON rate_slot (fn, tenant, key, ticket);

CREATE TABLE gate (                     -- how many may run at once; locked to count them
    fn int NOT NULL,
    tenant int NOT NULL,                -- -1: all shops and keys together
    key bigint NOT NULL,                -- hash of the event's field; 0 where tenant is -1
    most int NOT NULL,
    last_shop int NOT NULL DEFAULT -1,  -- that went in last; those who wait take turns by shop
    PRIMARY KEY (fn, tenant, key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        vacuum_truncate = off);

CREATE TABLE permit (                   -- who is inside of a gate, and who waits in front of it
    id bigint NOT NULL,
    shop int NOT NULL,                  -- whose work it is
    fn int NOT NULL,                    -- and the gate
    tenant int NOT NULL,
    key bigint NOT NULL,
    worker int,                         -- who holds it, as long as it owns the work; NULL: it waits
    epoch bigint,
    PRIMARY KEY (id, tenant, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        vacuum_truncate = off);
CREATE INDEX permit_held ON permit (fn, tenant, key) WHERE worker IS NOT NULL;
CREATE INDEX permit_waiting ON permit (fn, tenant, key, shop, id) WHERE worker IS NULL;
