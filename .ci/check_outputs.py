"""Fail unless the main job's outputs are all there and say something: tables, figures, scores, the PDF."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
problems = []


def expect(condition: object, message: str) -> None:
    if not condition:
        problems.append(message)


with (root / "results" / "metrics.csv").open(encoding="utf-8") as handle:
    rows = list(csv.DictReader(handle))
methods = {row["method"] for row in rows}
tasks = {row["task"] for row in rows}
paper1 = {"majority", "random", "zero-shot", "few-shot", "sft", "ppo", "grpo", "encoder"}
paper1 |= {"raft", "ppo-rationale", "ppo-rm"}
paper2 = {"sft-rationale", "rlhf", "rllr", "rllr-mixed"}
expect(paper1 | paper2 <= methods, f"methods: {methods}")
expect(len(tasks) == 29, f"expected scores of 29 tasks, found {len(tasks)}")
expect(all(row["value"] for row in rows), "metrics.csv has an empty value")

trained: dict[tuple[str, ...], set[str]] = {}
for row in rows:
    if row["mixture"] != "none" and row["variant"] == "main":
        trained.setdefault((row["model"], row["method"], row["mixture"]), set()).add(row["seed"])
few = {cell: len(seeds) for cell, seeds in trained.items() if len(seeds) < 3}
expect(not few, f"trained with fewer than three seeds: {few}")
headline = [cell for cell, seeds in trained.items() if cell[1] in ("sft", "ppo") and len(seeds) >= 5]
expect(len(headline) >= 10, f"five seeds: {headline}")

for record in (root / "results").glob("*/*/*/*/seed*/run.json"):
    facts = json.loads(record.read_text(encoding="utf-8"))
    expect(facts["digest"] and facts["environment"]["versions"]["torch"], f"{record}: incomplete")

generated = root / "paper" / "generated"
for name in (
    "glue",
    "superglue",
    "other-models",
    "cost",
    "validation",
    "budgets",
    "rllr",
    "reward-models",
    "reward-pairs",
    "ppo-rm",
    "comparisons",
    "tuning",
):
    for kind in ("tex", "csv", "md"):
        path = generated / "tables" / f"{name}.{kind}"
        expect(path.is_file() and path.stat().st_size > 100, f"{path}: absent or empty")
for name in ("scores", "curves", "gains", "invalid", "over-optimisation", "learning-rates"):
    for kind in ("pdf", "png"):
        path = generated / "figures" / f"{name}.{kind}"
        expect(path.is_file() and path.stat().st_size > 2000, f"{path}: absent or empty")

if shutil.which("latexmk"):
    text = subprocess.run(["pdftotext", root / "paper" / "main.pdf", "-"], capture_output=True, text=True).stdout
    expect("PPO" in text and "??" not in text, "paper/main.pdf: absent, or with unresolved references")

for problem in problems:
    print(f"missing: {problem}", file=sys.stderr)
print(f"{len(rows)} numbers, {len(methods)} methods, {len(tasks)} tasks, {len(problems)} problems")
sys.exit(bool(problems))
