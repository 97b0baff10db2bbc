-- What is due of a function, whoever's it is: an idle worker looks here, and does not walk through
-- all shops that have work for tomorrow. `tenant >= 0` is always true: only a statement that says
-- it can be planned over these indexes, which would be wrong for those that go shop by shop.

CREATE INDEX work_due ON work (fn, run_at)
    WHERE worker IS NULL AND lane IS NULL AND NOT suspect AND tenant >= 0;
CREATE INDEX lane_due ON lane (fn, run_at)
    WHERE worker IS NULL AND run_at IS NOT NULL AND NOT suspect AND tenant >= 0;
