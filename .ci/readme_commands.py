"""Print the README's set-up commands: the lines of its fenced blocks that install the package."""

import sys
from pathlib import Path

inside = False
for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
    if line.startswith("```"):
        inside = not inside
    elif inside and line.startswith("pip install "):
        print(line)
