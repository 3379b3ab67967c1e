"""The smallest run there is."""

from pathlib import Path

import pytest
from roll_outs import write_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and prepared rows of one task."""
    return write_place(tmp_path_factory.mktemp("run"))
