-- What running functions tell while they run (`ctx.emit`): appended, and read by who follows.
-- A repeated attempt begins a new epoch; readers look at the newest one.

CREATE TABLE chunk (
    id bigint NOT NULL,                 -- of the invocation, and kept as long as it is
    epoch bigint NOT NULL,              -- of the attempt
    place int NOT NULL,                 -- 1 is the first of its epoch
    data text NOT NULL,                 -- JSON
    PRIMARY KEY (id, epoch, place)
);
