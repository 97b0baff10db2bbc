-- What running functions tell while they run, and whom they wait for.

CREATE TABLE chunk (                    -- what an attempt emitted: appended, read by who follows
    id bigint NOT NULL,                 -- of the invocation, and kept as long as it is
    epoch bigint NOT NULL,              -- of the attempt; readers look at the newest one
    place int NOT NULL,                 -- 1 is the first of its epoch
    data text NOT NULL,                 -- JSON
    PRIMARY KEY (id, epoch, place)
);

CREATE TABLE child (                    -- an invocation that another one called, by name
    parent bigint NOT NULL,             -- kept as long as this one
    name text NOT NULL,
    fingerprint text NOT NULL,          -- of function and event: a later attempt asks for the same
    id bigint,                          -- of the child; set in the transaction that stores it
    PRIMARY KEY (parent, name)
);

CREATE TABLE descent (                  -- what an invocation dispatched together with its outcome
    parent bigint NOT NULL,             -- kept as long as this one
    id bigint NOT NULL,
    PRIMARY KEY (parent, id)
);

-- Whether a step changes something outside; NULL: recorded before this was.
ALTER TABLE step ADD COLUMN writes boolean;
