"""Few-shot scoring of label words: ours against lm-eval 0.4.13, on real RTE, COPA and CB rows.

Both sides get the same prompts, demonstrations and answers as text, and give the log-likelihood of every answer. Their
work is tokenising and scoring; loading the model is not counted. The window is 8192 tokens, in which no prompt is cut on
either side (checked): where prompts are too long lm-eval drops their first tokens, ours drops whole demonstrations.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import measure

TASKS = ("rte", "copa", "cb")
PEER = ["lm-eval[hf]==0.4.13", "torch==2.13.0", "transformers==5.23.0"]
SHOTS, BATCH = 5, 16
"""Rows of lm-eval's batches. Its `auto` costs three times as much on a CPU."""

FEW = 12
"""Rows a task of what is compared in brief; the prefix that prompts share saves less there."""

COMPARED = (
    ("rand_32k", False, None), ("rand_small", False, None), ("rand_260k", False, FEW), ("rand_32k", True, FEW),
)  # fmt: skip
"""Model, whether the answers are the label words alone (as many of lm-eval's tasks have it), and rows a task."""

GOALS = {"rand_32k": 12, "rand_small": 4, "rand_260k": 4}


DIFFER, APART = "predictions that differ", "log-likelihoods, nats"


# 1. What is asked ----------------------------------------------------------------------------------------------------


def chosen(job: dict[str, Any], name: str) -> tuple[Any, list[Any], list[Any], list[str]]:
    """A task, its rows, its demonstrations, and the texts of its answers."""
    from rl4nlu.tasks.prompts import CORRECTED, answer_text, choose_demonstrations, label_word

    task, rows = measure.rows(name, Path(job["data"]))
    shown = choose_demonstrations(measure.rows(name, Path(job["data"]), "train")[1], job["shots"], "random", seed=0)
    words = [f" {label_word(task, label, CORRECTED, 'test')}" for label in task.labels]
    answers = words if job["bare"] else [answer_text(task, label, CORRECTED, "test") for label in task.labels]
    return task, rows[: job["rows"]], shown, answers


def texts(job: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Prompt and answers of every row, for the peer."""
    from rl4nlu.tasks.prompts import write_prompt

    asked = []
    for name in job["tasks"]:
        task, rows, shown, answers = chosen(job, name)
        asked += [(write_prompt(task, row.fields, shown).text, answers) for row in rows]
    return asked


# 2. The sides --------------------------------------------------------------------------------------------------------


def ours(job: dict[str, Any], clock: measure.Clock) -> list[list[float]]:
    """Log-likelihoods of every row's answers, as `rl4nlu.evaluate.ask` finds them."""
    from rl4nlu.answering.fit import fit_prompts
    from rl4nlu.answering.score import score_choices
    from rl4nlu.config import Evaluation, Model
    from rl4nlu.models.load import encode_answer, load_backbone, load_tokenizer
    from rl4nlu.tasks.prompts import CORRECTED
    from rl4nlu.tasks.reading import OPEN_TAG

    settings = Model(path=job["model"], kind="decoder", max_length=measure.POSITIONS, dtype="float32")
    tokenizer, model = load_tokenizer(settings), load_backbone(settings)
    scores: list[list[float]] = []
    for name in job["tasks"]:
        task, rows, shown, answers = chosen(job, name)
        with clock:
            choices = [encode_answer(tokenizer, text, OPEN_TAG) for text in answers]
            fitted = fit_prompts(tokenizer, task, rows, CORRECTED, measure.POSITIONS - 32, shown)
            if any(prompt.shots < len(shown) for prompt in fitted):
                raise measure.Absent("a prompt lost demonstrations")
            prompts = [prompt.tokens for prompt in fitted]
            budget = Evaluation().batch_tokens
            scores += score_choices(model, prompts, [choices] * len(prompts), batch_tokens=budget)
    return scores


def lm_eval(job: dict[str, Any], clock: measure.Clock) -> list[list[float]]:
    """The same by lm-eval's own interface for models (`HFLM.loglikelihood`), which tokenises, too."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(job["model"], device="cpu", dtype="float32", batch_size=BATCH, max_length=measure.POSITIONS)
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt, answer), idx=n)
        for prompt, answers in job["texts"]
        for n, answer in enumerate(answers)
    ]
    longest = max(len(model.tok_encode(prompt)) for prompt, _ in job["texts"])
    if longest + 32 > measure.POSITIONS:
        raise measure.Absent(f"a prompt of {longest} tokens would be cut")
    with clock:
        found = iter(model.loglikelihood(requests, disable_tqdm=True))
    return [[next(found)[0] for _ in answers] for _, answers in job["texts"]]


# 3. The comparison ---------------------------------------------------------------------------------------------------


def apart(mine: list[list[float]], theirs: list[list[float]]) -> dict[str, tuple[float, float]]:
    """How far both sides' log-likelihoods lie apart, and what is allowed."""
    pairs = list(zip(mine, theirs, strict=True))
    differ = sum(a.index(max(a)) != b.index(max(b)) for a, b in pairs)
    gap = max(abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True))
    return {DIFFER: (differ, 0), APART: (gap, 1e-4)}


def compare(arguments: Any) -> None:
    """The table of all models."""
    data, quick = arguments.data.resolve(), arguments.quick
    peer = measure.environment("lm-eval", PEER)
    lines, compared_models = [], []
    checks: dict[str, tuple[float, float]] = {}
    for name, bare, few in COMPARED:
        answer = "word" if bare else "word and closing tag"
        measure.note(f"{name}, {answer}")
        job = {"data": str(data), "tasks": TASKS, "rows": FEW if quick else few, "shots": SHOTS, "bare": bare}
        job["model"] = str(measure.model(name, data))
        sides = {"ours": sys.executable, "lm-eval": peer}
        runs = measure.alternate(__file__, sides, {**job, "texts": texts(job)}, arguments.repeats)
        mine, theirs = runs["ours"][0].results, runs["lm-eval"][0].results
        found, rows = apart(mine, theirs), len(mine)
        checks |= {f"{name}, {answer}, {rows} rows: {what}": bounds for what, bounds in found.items()}
        a, b = measure.cost(runs["ours"]), measure.cost(runs["lm-eval"])
        compared_models.append({
            "model": name, "parameters": measure.parameters(name), "bare": bare, "rows": rows,
            "requests": sum(map(len, mine)), "predicted": [[s.index(max(s)) for s in mine].count(n) for n in range(3)],
            "ours": a, "lm-eval": b,
        })  # fmt: skip
        lines.append({
            "model": f"{name} ({measure.parameters(name) / 1e6:.3g} M)",
            "vocabulary": measure.SHAPES[name].vocabulary,
            "answer": answer,
            "rows": rows,
            "lm-eval, CPU-s": b["work"],
            "ours, CPU-s": a["work"],
            "ours is faster": f"{b['work'] / a['work']:.1f}×" + ("" if bare else f" (goal {GOALS[name]}×)"),
            "lm-eval, peak MB": b["peak"],
            "ours, peak MB": a["peak"],
            "ours uses": f"{a['peak'] / b['peak']:.2f}",
            "predictions that differ": found[DIFFER][0],
            "largest difference, nats": f"{found[APART][0]:.1e}",
        })  # fmt: skip
    equalities = measure.equal(checks)
    text = (
        f"{SHOTS}-shot scoring of real RTE, COPA and CB dev rows (all 433, or the first {FEW} of each task), {arguments.repeats} "
        f"run(s) a side; lm-eval 0.4.13 with batches of {BATCH}; nothing is cut on either side\n\n"
    )
    record = {"comparisons": compared_models, "equality": equalities, "peer": PEER, "batch": BATCH}
    measure.save("scoring", record, text + measure.table(lines), quick)


if __name__ == "__main__":
    measure.main(__doc__, compare, {"ours": ours, "lm-eval": lm_eval})
