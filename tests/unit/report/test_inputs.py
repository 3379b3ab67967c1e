"""Collected files that are read."""

from pathlib import Path

import pytest
from synthetic import inputs

from rl4nlu.report.inputs import load_inputs


def test_files_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("scale,model\n")
    found = inputs(False)
    with pytest.raises(ValueError, match=r"metrics\.csv: no column method, .*collect the results again"):
        load_inputs(tmp_path, found.tasks, found.models, tmp_path)
