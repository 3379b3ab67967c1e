"""Zero-shot and few-shot probes on generated validation rows, in a wording that pretraining never shows."""

from __future__ import annotations

import random
from typing import Any

from . import corpus
from . import templates as tp
from .generators import rows
from .world import unmark

PROBE_TASKS = ("cola", "sst2", "mrpc", "stsb", "rte", "boolq", "wic", "copa", "mnli", "qnli")
PROBE_SEED = 90210


def probe_set(task: str, n: int, shots: int) -> list[tuple[str, str]]:
    """Prompts (ending in the opened judgement tag) and right answers; demonstrations come from the train split."""
    rng = random.Random(f"probe|{task}|{shots}")
    description, query = tp.PROBES[task]
    wording = tp.TASK_WORDING[task]
    names = wording.labels[0] if wording.labels else ()
    listed = " or ".join(f'"{n}"' for n in names[::-1]) if names else "a score like 3.5"
    pool = [corpus.cases(task, row, rng) for row in rows(task, "train", 20 * (shots + 1), PROBE_SEED)]
    out = []
    for row in rows(task, "validation", n, PROBE_SEED):
        case = corpus.cases(task, row, rng)
        demos = rng.sample([d for d in pool if d.q() == case.q()], shots)
        items = []
        for c in (*demos, case):
            text = query.format(**{k: unmark(v) for k, v in c.texts.items()})
            answer = f"{c.number:.1f}" if c.number is not None else names[c.klass]
            items.append((f"Prompt:{chr(10)}{text}\nAssistant:\n<Judgement>", answer))
        head = f"System_prompt:\n{description.format(q=case.q())}\nTell it in this shape :\n<Judgement> {{Give {listed} here}} </Judgement>\n"
        if demos:
            head += "Here come a few cases :\n" + "".join(f"[ {p} {a} </Judgement> ]\n" for p, a in items[:-1]) + "\n"
        out.append((head + items[-1][0], items[-1][1]))
    return out


def greedy(model: Any, tokenizer: Any, prompts: list[str], new_tokens: int) -> list[str]:
    """The most likely continuation of each prompt, a few tokens long."""
    import torch

    texts = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with torch.no_grad():
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            codes = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True)
            out = model.generate(
                **codes, max_new_tokens=new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
            for i, row in zip(chosen, out[:, codes["input_ids"].shape[1] :], strict=True):
                texts[i] = tokenizer.decode(row, skip_special_tokens=True).split("</Judgement>")[0].strip()
    return texts


def spearman(x: list[float], y: list[float]) -> float:
    """Rank correlation; 0 if one side is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y)[0]) if len(set(x)) > 1 and len(set(y)) > 1 else 0.0


def probe(
    model: Any, tokenizer: Any, n: int = 100, shots: tuple[int, ...] = (0, 4), tasks: tuple[str, ...] = PROBE_TASKS
) -> dict[str, dict]:
    """Per number of shots and task the accuracy (STS-B: Spearman), unparseable answers counted as wrong."""
    model.eval()
    result: dict[str, dict[str, float]] = {}
    for k in shots:
        result[f"{k}-shot"] = scores = {}
        for task in tasks:
            pairs = probe_set(task, n, k)
            texts = greedy(model, tokenizer, [p for p, _ in pairs], 4)
            if task == "stsb":
                values = [float(t) if t.replace(".", "", 1).isdigit() else 2.5 for t in texts]
                scores[task] = round(spearman(values, [float(a) for _, a in pairs]), 3)
            else:
                scores[task] = round(sum(t == a for t, (_, a) in zip(texts, pairs, strict=True)) / n, 3)
    model.train()
    return result
