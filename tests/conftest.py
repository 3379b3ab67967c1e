"""Shared fixtures: the checkout's root and, where it is at hand, the folder of official benchmark files."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Nothing here may depend on a clock (a busy machine is no failure) or on what an earlier run left in a database.
settings.register_profile(
    "fixed", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("fixed"), derandomize=False, max_examples=5000)
settings.load_profile("fixed")  # the other: pytest -m hypothesis --hypothesis-profile=explore

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch: the workers share the cores

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def official_data() -> Path:
    """Folder of the official GLUE/SuperGLUE files (RL4NLU_DATA, else ../shared/data)."""
    folder = Path(os.environ.get("RL4NLU_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no official files: no folder {folder} (RL4NLU_DATA names it, else it is ../shared/data)")
    return folder
