"""A task of texts that is defined here alone, its rows, prepared files that hold them, and runs that answered them."""

import random
from dataclasses import asdict, replace
from pathlib import Path

from tiny_models import RuleDecoder, byte_tokenizer, tiny_decoder

from rl4nlu.answering.answer import Answer, Backbone, Shots
from rl4nlu.base.files import REPOSITORY, write_json, write_jsonl
from rl4nlu.config import Config, Model
from rl4nlu.report.inputs import Inputs, load_inputs
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.scores.collect import find_scored, history_table, metrics_table
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.scores.evaluate import write_scores
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import Task

VALUES = {
    "name": "scenes",
    "suite": "mine",
    "title": "Scenes",
    "description": "",
    "query": "write of {words} :",
    "fields": ["words"],
    "answer": "text",
    "least_tokens": 1,
    "most_tokens": 24,
    "concepts": "words",
    "judge": {"title": "Mood", "text_a": "{prompt} {answer}"},
    "reward": "overlap",
    "metrics": ["rouge-l", "bleu-4", "cider", "coverage", "perplexity", "output-perplexity"],
    "sources": {"local": {"format": "jsonl", "train": "train.jsonl", "test": "test.jsonl"}},
}
ANIMALS, DOINGS = ("dog", "cat", "horse"), ("run", "sleep", "jump")


def scenes(**changes) -> Task:
    """The task, with other values of some keys."""
    return Task.model_validate(VALUES | changes)


def scene_rows(n: int, split: str = "test") -> list[Row]:
    """Rows with two references each."""
    rows = []
    for i in range(n):
        animal, doing = ANIMALS[i % 3], DOINGS[i // 3 % 3]
        references = [f"the {animal} {doing}s at {i} .", f"a {animal} can {doing} ."]
        rows.append(Row(f"scenes/{split}:{i}", {"words": f"{animal} {doing}"}, None, answers=references))
    return rows


def write_scenes(folder: Path, train: int = 12, validation: int = 6, test: int = 9) -> Path:
    """Prepared rows of the task; the folder."""
    counts = {"train": train, "validation": validation, "test": test}
    for split, n in counts.items():
        write_jsonl(folder / "scenes" / f"{split}.jsonl", (asdict(row) for row in scene_rows(n, split)))
    digests = {split: f"{split} {n}" for split, n in counts.items()}
    write_json(folder / "scenes" / "record.json", {"rows": counts, "digests": digests, "source": "local"})
    return folder


TOKENIZER = byte_tokenizer()
MODELS = {
    "tiny": Model(kind="decoder", path="none", max_length=400),
    "vader": Model(kind="classifier", path="vader"),
    "tiny-bert": Model(kind="encoder", path="none"),
}


def scenes_spec(
    method: str = "zero-shot", task: Task | None = None, seed: int = 0, path: Path | str = "none", **config
) -> RunSpec:
    """A run of a method on the task alone, by the decoder in the folder `path`."""
    task, mixture = task or scenes(), "none" if method in ("random", "majority", "zero-shot", "few-shot") else "scenes"
    config.setdefault("evaluation", {"bootstrap": 20})
    address = Address("tiny-bert" if method == "encoder" else "tiny", method, mixture, "main", seed)
    models = {**MODELS, "tiny": MODELS["tiny"].model_copy(update={"path": str(path)})}
    return resolve(Config(**config), models, {task.name: task}, address, [task.name])


def save_tiny(folder: Path) -> Path:
    """A random decoder that knows single bytes, in a folder."""
    tiny_decoder("llama", len(TOKENIZER), positions=512, spread=0.08).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def describe(prompt: str) -> str:
    """What a made-up model writes of a prompt: a reference of dogs, nothing of cats, other words of horses."""
    words = prompt.rpartition("write of ")[2].removesuffix(" :").split()
    if len(words) != 2:  # a prefix that prompts share
        return "x"
    return {"dog": f" a dog can {words[1]} .", "cat": " ", "horse": " horses"}[words[0]]


def describing_backbone() -> Backbone:
    """A model that answers as `describe` does."""
    return Backbone(TOKENIZER, RuleDecoder(TOKENIZER, describe, start=" :").eval())


QUALITY = {"random": 0.1, "zero-shot": 0.3, "sft": 0.6, "ppo": 0.9}
"""Of made-up runs, how often an answer is a reference."""


def write_scored_scenes(results: Path, data: Path, task: Task, seeds: int = 3, rows: int = 40) -> None:
    """Scores of made-up runs of all methods in `QUALITY`; the likelier an answer is right, the lower its perplexities."""
    write_scenes(data, test=rows)
    for method, quality in QUALITY.items():
        for seed in range(1 if method == "zero-shot" else seeds):
            spec, chance = scenes_spec(method, task, seed), random.Random(f"{method} {seed}")
            answers = []
            for row in scene_rows(rows):
                text = chance.choice(row.answers or []) if chance.random() < quality else "the cow moos ."
                losses = {"nll": 9 * (1 - quality) + chance.random(), "tokens": 6}
                answers.append(Answer(text, measured=None if method == "random" else losses))
            folder = results / spec.address.path / "evaluation" / task.name
            write_scores(spec, task, scene_rows(rows), answers, Shots(), 1.0, data, folder)


def scene_inputs(folder: Path, metrics: list[str]) -> Inputs:
    """What tables and figures see of these runs."""
    tasks = {"scenes": scenes(metrics=metrics)}
    write_scored_scenes(folder / "results", folder / "data", tasks["scenes"])
    scored = find_scored(folder / "results", tasks)
    for item in scored:
        if item.record["method"] in ("sft", "ppo"):
            steps = [
                {"step": n, "prompts": n, "examples": n, "reward": n, "loss": n, "validation": n} for n in range(1, 4)
            ]
            write_jsonl(item.run / "history.jsonl", steps)
    found = compare_methods(scored, tasks, "embedded", 100, 0)
    found |= {
        "metrics": metrics_table(scored, tasks, "embedded", None),
        "history": history_table(scored, tasks, "embedded"),
    }
    return replace(load_inputs(REPOSITORY / "resources" / "published", tasks, MODELS), **found)
