"""What every test shares: Hypothesis profiles, threads, the compilation cache, torch's seed, a process left as found.

The options, markers and tests of pairs come from the installed plugin, `parity.pytest_plugin`, as for users.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.architecture.process_state import process_state, state_changes

pytest_plugins = ["pytester"]  # for tests of the plugin; pytest takes this name from the root conftest alone

# xdist gives each core a worker, so each worker gets one thread; one thread also sums in one order.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A second run loads what the first one compiled. JAX reads these when it is imported: not yet, at this point.
# Programs that compile in less than 50 ms stay out: they load no faster than they compile.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# Most programs of the suite run once or twice on a few numbers, so that XLA's optimisations cost more than they save.
# What `parity` compiles in a deployed precision is optimised all the same.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# default: fresh draws at each run, failures remembered, so that daily work keeps exploring.
# ci:      the same draws at each run, so that red or green is a property of the commit; `make test` uses it.
# explore: many fresh draws; `make explore` uses it, and CI once a week.
# No deadline anywhere: the first draw of a shape pays for a compilation.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("explore", parent=settings.get_profile("default"), max_examples=1000)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def _same_first_weights() -> None:
    """Seed the generator from which torch draws a module's first weights, so that no test hangs on those before it."""
    import torch  # once the threads are set

    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _process_left_as_found() -> Iterator[None]:
    """Fail a test that leaves a process-wide setting of torch, JAX or numpy behind for the next one."""
    before = process_state()
    yield
    changes = state_changes(before, process_state())
    if changes:
        pytest.fail("process-wide settings were not restored: " + "; ".join(changes), pytrace=False)
