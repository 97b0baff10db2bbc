-- Limits of functions: when work is too late, and how bursts of a lane are taken.

ALTER TABLE function
    ADD COLUMN deadline_seconds float8,  -- after this time from when it was due; NULL: never late
    ADD COLUMN burst "char";             -- 'm' Merge, 's' Supersede, 't' Steer; NULL: plain order

UPDATE function SET burst = 'm' WHERE cap_seconds IS NOT NULL;

ALTER TABLE work ADD COLUMN late_at timestamptz;  -- no attempt starts after it; NULL: never late

CREATE TABLE joined (                     -- who else waits for it: a key was repeated meanwhile
    id bigint NOT NULL,
    reply_to int NOT NULL,
    PRIMARY KEY (id, reply_to)
);
