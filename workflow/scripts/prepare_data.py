"""Rows of one task, from its source to train, validation and test in one schema (rule data)."""

import argparse
from pathlib import Path

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import load_config, read_yaml
from rl4nlu.jobs.programs import header, main_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config" / "config.yaml", help="config file")
    parser.add_argument("--task", required=True, help="task name: a file below config/tasks/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, data/<task>")
    arguments = parser.parse_args()
    header(f"rows of {arguments.task}")
    from rl4nlu.tasks.prepare import prepare
    from rl4nlu.tasks.task import load_task

    config = load_config(read_yaml(arguments.config), arguments.config.name)
    record = prepare(load_task(arguments.task), config.data, arguments.out)
    print(f"{arguments.task}: {record['rows']} rows from {config.data.source}, digests {record['digests']}")


if __name__ == "__main__":
    main_of(main)
