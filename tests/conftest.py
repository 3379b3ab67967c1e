"""Shared fixtures: the checkout's root and, where it is at hand, the folder of official benchmark files."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is no failure
settings.register_profile("rl4nlu", deadline=None)
settings.load_profile("rl4nlu")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def official_data() -> Path:
    """Folder of the official GLUE/SuperGLUE files (RL4NLU_DATA, else ../shared/data)."""
    folder = Path(os.environ.get("RL4NLU_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no official benchmark files: {folder} is absent (set RL4NLU_DATA to their folder)")
    return folder
