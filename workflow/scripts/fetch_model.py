"""Files of one hub model, into the hub's cache, with commit and checksums recorded (rule fetch_model)."""

import argparse
from pathlib import Path

from rl4nlu.config import load_models
from rl4nlu.jobs.programs import header, main_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="model name: a key of config/models.yaml")
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    arguments = parser.parse_args()
    header(f"download of {arguments.model}")
    from rl4nlu.models.fetch import fetch_model

    record = fetch_model(arguments.model, load_models()[arguments.model], arguments.out)
    size = sum(file["bytes"] for file in record["files"].values())
    print(f"{arguments.model}: {record['repository']} at {record['commit']}, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main_of(main)
