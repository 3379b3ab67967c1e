"""Every table, of made-up runs and of the print alone."""

import pytest
from synthetic import inputs

from rl4nlu.report.tables import build_sheets
from rl4nlu.report.typeset import Sheet


@pytest.fixture(scope="session")
def sheets() -> dict[str, Sheet]:
    return build_sheets(inputs(True))


@pytest.fixture(scope="session")
def printed_only() -> dict[str, Sheet]:
    return build_sheets(inputs(False))
