"""What the README, the environments and the pins say is so."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from rl4nlu.microworld.architectures import MICRO_MODELS
from rl4nlu.microworld.judges import RECIPES

PRODUCED = (
    "results/",
    "paper/generated/",
    "paper/main.pdf",
    "pretrained/",
    "report.zip",
    "config/tasks/mine/",
    "work/",
    "adapter/",
    "runs/",
)


def pins(root):
    lines = (root / "constraints.txt").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)


def test_every_path_in_the_readme_exists(root):
    text = (root / "README.md").read_text()
    named = set(re.findall(r"`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*|[A-Za-z0-9_-]+\.(?:py|cff|toml|txt))`", text))
    named |= set(re.findall(r"\]\(([a-z]+/[^)]+)\)", text))
    assert len(named) > 8
    for name in named:
        known = name.startswith(PRODUCED) or (root / name).exists() or list((root / "src" / "rl4nlu").glob(name))
        assert known, f"README.md names {name}, which does not exist"


def test_every_config_in_the_readme_exists(root):
    for name in re.findall(r"--configfile (\S+)", (root / "README.md").read_text()):
        assert (root / name).is_file(), name


def test_the_readme_lists_the_targets(root, targets):
    text = (root / "README.md").read_text()
    listed = text[text.index("stops at any of them") :].split("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(targets)


def test_every_rule_begins_with_what_it_does(rules):
    for name, text in rules.items():
        assert text.startswith(("use", 'rule\n    """')), name


def test_no_placeholder_is_left_in_the_readme(root):
    assert not re.search(r"@[A-Z]+@", (root / "README.md").read_text())


@pytest.mark.parametrize("group", ["dependencies", "test", "slurm", "tensorboard", "vader", "cider"])
def test_every_dependency_is_pinned(root, group):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    names = project["dependencies"] if group == "dependencies" else project["optional-dependencies"][group]
    for name in names:
        assert name.lower() in pins(root), f"{name} has no pin in constraints.txt"


def test_the_conda_environments_pins_equal_the_constraints(root):
    for path in (root / "envs").glob("*.yaml"):
        pip = next(d["pip"] for d in yaml.safe_load(path.read_text())["dependencies"] if isinstance(d, dict))
        for requirement in pip:
            if not requirement.startswith("-e"):
                name, version = requirement.split("==")
                assert pins(root)[name] == version, f"{path.name}: {name}"


def test_micro_models_are_shipped_with_their_records_and_are_small(root):
    folder = root / "resources" / "micro"
    names = {path.parent.name for path in folder.glob("*/model.safetensors")}
    assert names == {*MICRO_MODELS, *RECIPES}
    for name in names:
        assert (folder / name / "record.json").is_file(), name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 20 * 2**20


def test_the_readme_has_two_set_up_commands(root):
    done = subprocess.run(
        [sys.executable, ".ci/readme_commands.py", "README.md"], cwd=root, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("snakemake --cores all")
    assert lines[1].endswith("pytest")


def test_packages_import_only_what_they_may(root):
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


SAME_IDEA = {
    "T",
    "code_of",
    "encode",
    "fit",
    "forward",
    "losses",
    "main",
    "open_answerer",
    "read",
    "train",
    "values_read",
}
"""Names that stand for one idea wherever they are defined: every method trains and answers, every source is read."""


def test_a_name_means_one_thing_in_the_whole_package(root):
    defined = {}
    for path in sorted((root / "src" / "rl4nlu").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            names = {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)} - {None}
            for name in names:
                if not name.startswith("_"):
                    defined.setdefault(name, set()).add(str(path.relative_to(root)))
    twice = {name: paths for name, paths in defined.items() if len(paths) > 1 and name not in SAME_IDEA}
    assert not twice


NO_NAMESAKE = {
    # its commands are tested where their work is done
    "__main__": "planner/test_table",
    # the config's schema is tested as one: by the faults that users make, and by every shipped config
    "config/checks": "config/test_experiment",
    "config/method": "config/test_experiment",
    "config/ppo_rm": "config/test_experiment",
    "config/rlgf": "runs/test_resolve",
    "config/rl": "config/test_experiment",
    "config/rllr": "config/test_experiment",
    "config/supervised": "config/test_experiment",
    # the world's grammar and words are seen through the rows and documents that are made of them
    "microworld/claims": "microworld/test_generators",
    "microworld/fact_tasks": "microworld/test_generators",
    "microworld/lexicon": "microworld/test_tokenizer",
    "microworld/losses": "microworld/test_pretrain",
    "microworld/probes": "microworld/test_pretrain",
    "microworld/skills": "microworld/test_corpus",
    "microworld/vocabulary": "microworld/test_tokenizer",
    "microworld/word_tasks": "microworld/test_generators",
    "microworld/world": "microworld/test_generators",
    # a stage's sources and filters are tested through the stage
    "rationales/chat": "rationales/test_writing",
    "rationales/requests": "rationales/test_writing",
    "rationales/supplied": "rationales/test_writing",
    "rationales/template": "rationales/test_writing",
    # tables and figures of one kind are built and looked at together
    "report/figures/differences": "report/figures/test_figures",
    "report/figures/drawing": "report/figures/test_figures",
    "report/figures/rlgf": "report/tables/test_rlgf",
    "report/figures/rllr": "report/tables/test_rllr",
    "report/figures/scores": "report/figures/test_figures",
    "report/figures/training": "report/figures/test_figures",
    "report/tables/printed": "report/tables/test_tables",
    # parts that their one user shows
    "base/hub": "models/test_fetch",
    "jobs/start": "jobs/test_programs",
    "methods/rl/rollout": "methods/rl/test_loop",
    "planner/device": "planner/test_table",
    "runs/grid": "runs/test_resolve",
    "tasks/parts/columns": "tasks/test_task",
    "tasks/rows": "tasks/test_prepare",
}
"""Modules of over 40 lines without a test module of their own name, and where they are tested."""


def namesake(module):
    """The test module of a module, as of a package's own: both by path below the package, without suffix."""
    path = Path(module)
    return str(path.with_name(f"test_{path.parent.name if path.name == '__init__' else path.name}"))


def test_tests_mirror_the_packages(root):
    package, tests = root / "src" / "rl4nlu", root / "tests" / "unit"
    lines = {
        str(path.relative_to(package).with_suffix("")): len(path.read_text().splitlines())
        for path in package.rglob("*.py")
    }
    found = {str(path.relative_to(tests).with_suffix("")) for path in tests.rglob("test_*.py")}
    alone = {name for name, count in lines.items() if count > 40 and namesake(name) not in found}
    assert sorted(alone - set(NO_NAMESAKE)) == [], "these modules have no test module"
    assert sorted(set(NO_NAMESAKE) - alone) == [], "these need no line of the table any more"
    assert sorted(set(NO_NAMESAKE.values()) - found) == [], "the table names these test modules, which do not exist"
    below = {name for name in found if "/" in name}
    assert sorted(below - {namesake(name) for name in lines}) == [], "these are named like no module"


def test_readme_and_architecture_name_the_packages_in_their_order(root):
    layers = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    packages = [name for name in reversed(layers) if name != "__main__"]
    assert packages == [p for p in packages if (root / "src" / "rl4nlu" / p / "__init__.py").is_file()]
    tree = (root / "README.md").read_text().partition("src/rl4nlu/  ")[2].partition("resources/micro/")[0]
    assert re.findall(r"^  (\w+)/ ", tree, re.MULTILINE) == packages
    picture = (root / "docs" / "architecture.svg").read_text()
    assert re.findall(r'font-weight="bold" fill="#222222">(\w+)</text>', picture) == packages


def test_the_architecture_names_files_that_are_there(root):
    text = (root / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:tasks|answering|methods|scores|base|report|tests|config|workflow)/[\w/.-]+)`", text)
    assert len(named) > 15
    missing = [name for name in named if not any((base / name).exists() for base in (root, root / "src" / "rl4nlu"))]
    assert missing == []
