-- What scaling reads: how many processes a function may have, and what its attempts cost.

CREATE TABLE scaling (                  -- as declared by the newest worker that started
    fn int PRIMARY KEY,
    name text NOT NULL,                 -- of the function now; fn may be that of a former name
    minimum int NOT NULL,
    maximum int NOT NULL,
    concurrency int NOT NULL            -- attempts at once in one process
);

CREATE TABLE service (                  -- what a worker has done in its life, so far
    worker_id int NOT NULL,
    fn int NOT NULL,
    ended bigint NOT NULL,              -- attempts
    seconds float8 NOT NULL,            -- that they took, all together
    PRIMARY KEY (worker_id, fn)
);
