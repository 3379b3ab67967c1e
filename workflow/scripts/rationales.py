"""Rationales for gold and wrong labels of a task's rows, cached and filtered (rule rationales)."""

import argparse
from pathlib import Path

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import load_config, read_yaml
from rl4nlu.jobs.programs import header, main_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config" / "config.yaml", help="config file")
    parser.add_argument("--task", required=True, help="task name: a file below config/tasks/")
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared rows")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder whose rationales/ holds the answers that models gave"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write, data/<task>")
    arguments = parser.parse_args()
    header(f"rationales of {arguments.task}")
    from rl4nlu.rationales.writing import write_rationales
    from rl4nlu.tasks.task import load_task

    settings = load_config(read_yaml(arguments.config), arguments.config.name).rationales
    cache = arguments.work / "rationales"
    record = write_rationales(load_task(arguments.task), settings, arguments.data, cache, arguments.out)
    print(
        f"{arguments.task}: {record['kept']} of {record['requests']} rationales kept ({record['note']}), "
        f"{record['asked']} asked, {record['from_cache']} from the cache, dropped {record['dropped']}"
    )


if __name__ == "__main__":
    main_of(main)
