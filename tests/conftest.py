"""Shared fixtures: the checkout's root and, where it is at hand, the folder of official benchmark files."""

import os
import re
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that run the workflow come first, being the longest: workers then end together."""
    items.sort(key=lambda item: item.path.is_relative_to(ROOT / "tests" / "unit"))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def rules(root: Path) -> dict[str, str]:
    """The text of every rule of the workflow, by name, in the order in which the Snakefile brings them."""
    snakefile = (root / "Snakefile").read_text()
    included = re.findall(r'^include: "(.+)"$', snakefile, re.MULTILINE)
    text = snakefile + "".join((root / name).read_text() for name in included)
    blocks = re.split(r"^((?:use )?rule \w+(?: as \w+ with)?:)$", text, flags=re.MULTILINE)[1:]
    heads = [re.findall(r"\w+", head) for head in blocks[::2]]
    return {
        head[-2] if head[-1] == "with" else head[-1]: head[0] + body
        for head, body in zip(heads, blocks[1::2], strict=True)
    }


@pytest.fixture(scope="session")
def targets(rules: dict[str, str]) -> list[str]:
    """Rules that only ask for files: the workflow's targets, without `all`."""
    return [name for name, text in rules.items() if text.startswith("rule") and "output:" not in text and name != "all"]


@pytest.fixture(scope="session")
def official_data() -> Path:
    """Folder of the official GLUE/SuperGLUE files (RL4NLU_DATA, else ../shared/data)."""
    folder = Path(os.environ.get("RL4NLU_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no official files: no folder {folder} (RL4NLU_DATA names it, else it is ../shared/data)")
    return folder
