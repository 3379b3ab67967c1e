"""Rows whose texts say their label, runs of a made-up model that are asked them, and files that hold all of it."""

from dataclasses import asdict
from pathlib import Path

from tiny_models import RuleDecoder, byte_tokenizer

from rl4nlu.answering.answer import Backbone, answer_run
from rl4nlu.base.files import read_json, read_jsonl, write_jsonl
from rl4nlu.config import Config, Model
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.scores.evaluate import score_run
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

CLOSE = "</Judgement>"
TOKENIZER = byte_tokenizer((CLOSE,))
TASKS = load_tasks()
MODELS = {"tiny": Model(kind="decoder", path="none", max_length=2000)}


def spec_of(method="zero-shot", tasks=("sst2",), mixture="none", seed=0, **settings) -> RunSpec:
    settings.setdefault("evaluation", {"bootstrap": 20})
    return resolve(Config(**settings), MODELS, TASKS, Address("tiny", method, mixture, "main", seed), list(tasks))


def rows_of(task, n, split="test"):
    """Rows whose texts say their label: the first field holds `good` or `bad`."""
    labels = list(TASKS[task].labels) or [1.0, 4.5]
    made = []
    for i in range(n):
        fields = dict.fromkeys(TASKS[task].fields, f"text {i}")
        fields[TASKS[task].fields[0]] = f"{'good' if i % 3 == 0 else 'bad'} {i}"
        made.append(Row(f"{task}/{split}:{i}", fields, labels[0] if i % 3 == 0 else labels[1]))
    return made


def write_data(folder: Path) -> Path:
    """Prepared rows of four tasks, of which superglue-rte is trained with rte; the folder."""
    for task in ("sst2", "rte", "stsb", "superglue-rte"):
        for split, n in (("train", 9), ("validation", 8), ("test", 12)):
            rows = [] if task == "superglue-rte" and split != "test" else rows_of(task, n, split)
            write_jsonl(folder / task / f"{split}.jsonl", (asdict(row) for row in rows))
    return folder


def reader(prompt: str) -> str:
    """Answers SST-2 rightly where the row says `good`, and not at all where it holds a 7."""
    asked = prompt.rpartition("Prompt:")[2]
    if "7" in asked:
        return " maybe " + CLOSE
    return f" {'Positive' if 'good' in asked else 'Negative'} {CLOSE}\n<Analysis>"


def reading_backbone() -> Backbone:
    """A model that answers as `reader` does."""
    return Backbone(TOKENIZER, RuleDecoder(TOKENIZER, reader).eval())


def ask_and_score(spec, data, trained, out, backbone=None, journal=None) -> None:
    """Both steps of an evaluation: `<out>/answers`, then `<out>/<task>/{predictions.jsonl,metrics.json}`."""
    answer_run(spec, data, trained, out / "answers", backbone, journal)
    score_run(spec, data, out / "answers", out)


def files(folder):
    """Predictions and record of one task."""
    return read_jsonl(folder / "predictions.jsonl"), read_json(folder / "metrics.json")
