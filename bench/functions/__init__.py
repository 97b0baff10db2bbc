"""Functions that benches run, and mutants: deliberate faults that a bench has to notice.

A mutant is chosen by NEXUS_MUTANT. It is planted here, in a package that only benches load, so the
product itself holds no switch that makes it wrong. BENCH_PAUSE_SHARE plants pauses.
"""

import os

from bench.functions import _mutants

_mutants.plant(os.environ.get("NEXUS_MUTANT", ""))
if share := float(os.environ.get("BENCH_PAUSE_SHARE", 0)):
    _mutants.plant_pauses(share)
