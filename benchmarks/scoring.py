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
MODELS = ("rand_32k", "rand_small", "rand_260k")
BATCH = 16
"""Rows of lm-eval's batches. Its `auto` costs three times as much on a CPU."""

SHAPE = measure.Shape(2048, 256, 688, 4, 8, 4)
"""The model of the growth plots, where one quantity of it changes."""


# 1. What is asked ----------------------------------------------------------------------------------------------------


def chosen(job: dict[str, Any], name: str) -> tuple[Any, list[Any], list[Any], list[str]]:
    """A task, its rows, its demonstrations, and the texts of its answers."""
    from rl4nlu.prompts import CORRECTED, answer_text, choose_demonstrations, label_word

    task, rows = measure.rows(name, Path(job["data"]))
    shown = choose_demonstrations(measure.rows(name, Path(job["data"]), "train")[1], job["shots"], "random", seed=0)
    words = [f" {label_word(task, label, CORRECTED, 'test')}" for label in task.labels]
    answers = words if job["bare"] else [answer_text(task, label, CORRECTED, "test") for label in task.labels]
    return task, rows[: job["rows"]], shown, answers


def texts(job: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Prompt and answers of every row, for the peer."""
    from rl4nlu.prompts import build_prompt

    asked = []
    for name in job["tasks"]:
        task, rows, shown, answers = chosen(job, name)
        asked += [(build_prompt(task, row.fields, shown), answers) for row in rows]
    return asked


# 2. The sides --------------------------------------------------------------------------------------------------------


def ours(job: dict[str, Any], clock: measure.Clock) -> list[list[float]]:
    """Log-likelihoods of every row's answers, as `rl4nlu.evaluate.ask` finds them."""
    from rl4nlu.config import Evaluation, Model
    from rl4nlu.models import encode_answer, load_backbone, load_tokenizer
    from rl4nlu.prompting import fit_prompts
    from rl4nlu.prompts import CORRECTED
    from rl4nlu.scoring import score_choices

    settings = Model(path=job["model"], kind="decoder", max_length=measure.POSITIONS, dtype="float32")
    tokenizer, model = load_tokenizer(settings), load_backbone(settings)
    scores: list[list[float]] = []
    for name in job["tasks"]:
        task, rows, shown, answers = chosen(job, name)
        with clock:
            choices = [encode_answer(tokenizer, text) for text in answers]
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


def compared(job: dict[str, Any], peer: Path, repeats: int) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Costs of both sides at one job, and how far their results lie apart."""
    jobs = {"ours": job, "lm-eval": {"model": job["model"], "texts": texts(job)}}
    runs = measure.alternate(__file__, {"ours": sys.executable, "lm-eval": peer}, jobs, repeats)
    mine, theirs = runs["ours"][0].results, runs["lm-eval"][0].results
    pairs = list(zip(mine, theirs, strict=True))
    best = [(a.index(max(a)), b.index(max(b))) for a, b in pairs]
    gap = max(abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True))
    apart = {"predictions that differ": (sum(a != b for a, b in best), 0), "log-likelihoods, nats": (gap, 1e-4)}
    facts = {
        "rows": len(pairs),
        "requests": sum(map(len, mine)),
        "predicted": [[a for a, _ in best].count(n) for n in range(3)],
        "ours": measure.cost(runs["ours"]),
        "lm-eval": {**measure.cost(runs["lm-eval"]), "versions": runs["lm-eval"][0].versions},
    }
    return facts, apart


def compare(arguments: Any) -> None:
    """The table of the three models, and how cost grows."""
    data, quick = arguments.data.resolve(), arguments.quick
    base = {"data": str(data), "tasks": TASKS, "rows": 12 if quick else None, "shots": 5, "bare": False}
    models = {name: str(measure.model(name, data)) for name in MODELS}
    peer = measure.environment("lm-eval", PEER)
    lines, record, checks = [], [], {}
    for name, bare in [(name, False) for name in MODELS] + [("rand_32k", True), ("rand_small", True)]:
        label = f"{name}, {'the word alone' if bare else 'word and closing tag'}"
        measure.note(label)
        facts, apart = compared({**base, "model": models[name], "bare": bare}, peer, arguments.repeats)
        checks |= {f"{label}: {what}": bounds for what, bounds in apart.items()}
        record.append({"model": name, "parameters": measure.parameters(name), "bare": bare, **facts})
        a, b = facts["ours"], facts["lm-eval"]
        lines.append(
            {
                "model": f"{name} ({measure.parameters(name) / 1e6:.3g} M)",
                "vocabulary": measure.SHAPES[name].vocabulary,
                "answer": "word" if bare else "word and closing tag",
                "rows": facts["rows"],
                "lm-eval, CPU-s": b["work"],
                "ours, CPU-s": a["work"],
                "ratio": f"{b['work'] / a['work']:.1f}×",
                "lm-eval, MB": b["peak"],
                "ours, MB": a["peak"],
                "largest difference, nats": f"{apart['log-likelihoods, nats'][0]:.1e}",
            }
        )
    growth = [] if quick else grown(base, peer, data, checks)
    equalities = measure.equal(checks)
    text = (
        f"{base['shots']}-shot scoring of {'the first ' if quick else ''}{record[0]['rows']} real rows (RTE, COPA, CB dev), "
        f"medians of {arguments.repeats} runs; lm-eval 0.4.13 with batches of {BATCH}; nothing is cut on either side.\n\n"
    )
    record = {"comparisons": record, "growth": growth, "equal": equalities, "peer": PEER, "batch": BATCH}
    folder = measure.save("scoring", record, text + measure.table(lines), quick)
    if growth:
        measure.plot(
            folder / "scoring.png", [panel(growth, name) for name in dict.fromkeys(g["grows"] for g in growth)]
        )


def grown(base: dict[str, Any], peer: Path, data: Path, checks: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """Costs on 40 RTE rows as one quantity grows: demonstrations, vocabulary, or the size of the model."""
    shots = [(k, SHAPE, k) for k in (0, 1, 2, 4, 8)]
    vocabularies = [(v, measure.Shape(v, 256, 688, 4, 8, 4), 5) for v in (512, 2048, 8192, 32_000)]
    sizes = [
        measure.Shape(2048, w, w * 43 // 16, n, w // 32, w // 32) for w, n in ((64, 2), (128, 4), (256, 4), (384, 6))
    ]
    trunks = [(round(measure.parameters(shape) / 1e6, 2), shape, 5) for shape in sizes]
    points = []
    for what, steps in (("demonstrations", shots), ("vocabulary", vocabularies), ("parameters (M)", trunks)):
        for value, shape, k in steps:
            measure.note(f"{what}: {value}")
            job = {**base, "tasks": ["rte"], "rows": 40, "shots": k, "model": str(measure.model(shape, data))}
            facts, apart = compared(job, peer, 1)
            checks |= {f"{what} {value}: {name}": bounds for name, bounds in apart.items()}
            points.append({"grows": what, "value": value, **facts})
    return points


def panel(growth: list[dict[str, Any]], what: str) -> measure.Panel:
    """The plot of one growing quantity."""
    points = [point for point in growth if point["grows"] == what]
    lines = {side: [point[side]["work"] for point in points] for side in ("ours", "lm-eval")}
    xs = [point["value"] for point in points]
    return measure.Panel(what, xs, "CPU-seconds, 40 RTE rows", lines, log=what != "demonstrations")


if __name__ == "__main__":
    measure.main(__doc__, compare, {"ours": ours, "lm-eval": lm_eval})
