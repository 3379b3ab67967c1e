"""`python -m rl4nlu docs`: config/README.md and the JSON schemas, generated from the settings classes.
`python -m rl4nlu plan`: what a config costs (memory, hours, disk), before anything is submitted."""

import argparse
import sys
from pathlib import Path

from rl4nlu.config import REPOSITORY
from rl4nlu.records import write_text


def main() -> int:
    """Write the generated files, or with --check only say which of them are out of date (exit status 1)."""
    parser = argparse.ArgumentParser(prog="python -m rl4nlu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    docs = commands.add_parser("docs", help="write config/README.md and workflow/schemas/*.json")
    docs.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    docs.add_argument("--root", type=Path, default=REPOSITORY, help="folder to write below")
    arguments = parser.parse_args()
    from rl4nlu.documentation import generated_files

    stale = 0
    for name, text in generated_files().items():
        path = arguments.root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not arguments.check:
            write_text(path, text)
        print(f"{name}: {'out of date' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
