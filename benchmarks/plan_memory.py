"""How far the planner's memory and time estimates are from measurement: real SFT, PPO and scoring runs of random models.

    python benchmarks/plan_memory.py --out benchmarks/results/plan_memory

Every run is a process of its own at one thread. On a CPU the measurement is the peak resident memory of the process; with
a CUDA device the same runs are repeated in bfloat16 against its allocator's peak. Models are random Llamas with a
byte-level vocabulary (prompts of some hundred tokens); rows are the microworld's. Nothing is learnt.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import foot, provenance

from rl4nlu.base.files import write_json, write_text
from rl4nlu.config import Config, Model, load_config
from rl4nlu.planner import lengths
from rl4nlu.planner.costs import Machine
from rl4nlu.planner.device import CPU_BASE, Device
from rl4nlu.planner.estimate import Estimate, estimate_evaluation, estimate_training
from rl4nlu.planner.shapes import shape_of
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.tasks.prepare import prepare
from rl4nlu.tasks.task import load_tasks

SIZES = {
    "0.4M": (96, 4, 256, 4),
    "3M": (192, 6, 512, 6),
    "11M": (320, 8, 864, 8),
    "38M": (512, 12, 1376, 8),
    "85M": (768, 12, 2048, 12),
}
"""Name (parameters without embedding): hidden size, layers, intermediate size, heads."""

TASK = "rte"
GIB = 2**30


def cases() -> list[dict[str, Any]]:
    """What is run: every size and stage, then larger batches, a vocabulary of 32,000, and two candidate learning rates."""

    def case(stage: str, size: str, vocabulary: int = 512, batch: int = 4, rates: int = 1) -> dict[str, Any]:
        return {"stage": stage, "size": size, "vocabulary": vocabulary, "batch": batch, "rates": rates}

    stages = ("score", "sft", "ppo")
    return [
        *(case(stage, size) for size in SIZES for stage in stages),
        *(case(stage, size, batch=16) for size in ("3M", "11M") for stage in stages),
        *(case(stage, size, 32000) for size in ("3M", "38M", "85M") for stage in stages),
        *(case(stage, "38M", rates=2) for stage in ("sft", "ppo")),
    ]


def build(folder: Path, size: str, vocabulary: int) -> None:
    """Write a random Llama and a byte-level tokenizer to `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    hidden, layers, intermediate, heads = SIZES[size]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(
        models.BPE(vocab={"<s>": 0, "</s>": 1, "<pad>": 2} | {c: n + 3 for n, c in enumerate(alphabet)}, merges=[])
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, intermediate_size=intermediate,
        num_attention_heads=heads, tie_word_embeddings=True, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
        pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def spec_of(case: dict[str, Any], model: Path) -> RunSpec:
    """The run of a case: two batches of two epochs (PPO), one validation, greedy answers of twelve tokens."""
    batch, rates = case["batch"], [1e-3, 2e-3][: case["rates"]]
    config: Config = load_config(
        {
            "data": {"train_rows": 32, "validation_rows": 4, "test_rows": 32},
            "sft": {"prompts": 2 * batch, "batch_size": batch, "learning_rates": rates},
            "ppo": {
                "prompts": 2 * batch,
                "batch_size": batch,
                "minibatch_size": batch,
                "epochs": 2,
                "learning_rates": rates,
            },
            "evaluation": {"batch_tokens": 512 * batch, "bootstrap": 0},
        }
    )
    entry = Model(kind="decoder", path=str(model), max_length=2000, dtype=case["dtype"])
    method = {"score": "zero-shot"}.get(case["stage"], case["stage"])
    address = Address("random", method, "none" if method == "zero-shot" else TASK, "main", 0)
    return resolve(config, {"random": entry}, load_tasks(), address, [TASK])


def run(case: dict[str, Any], folder: Path) -> None:
    """In a process of its own: the real stage; prints what it took as JSON."""
    import torch

    torch.set_num_threads(1)
    spec = spec_of(case, folder / "model")
    out = Path(tempfile.mkdtemp(dir=folder))
    if case["stage"] == "score":
        from rl4nlu.answering.answer import answer_run

        answer_run(spec, folder / "data", None, out)
    elif case["stage"] == "sft":
        from rl4nlu.methods import sft

        sft.train(spec, folder / "data", out)
    else:
        from rl4nlu.methods.rl import ppo

        ppo.train(spec, folder / "data", out)
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    # not ru_maxrss, which a child inherits from the process that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps({"rss": peak, "allocated": gpu, "cpu_seconds": time.process_time()}))


KEYS = ("stage", "size", "vocabulary", "batch", "rates", "dtype")


def measure(case: dict[str, Any], folder: Path, cuda: bool) -> dict[str, Any]:
    """What one case takes, in a process of its own: resident and allocated bytes, CPU seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({} if cuda else {"CUDA_VISIBLE_DEVICES": ""})}
    done = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case), "--folder", str(folder)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(case: dict[str, Any], found: dict[str, Any], folder: Path, cuda: bool) -> dict[str, Any]:
    """A measurement beside its estimate."""
    estimate = estimated(case, folder, cuda)
    measured = found["allocated"] if cuda else found["rss"]
    guess = estimate.memory.total if cuda else estimate.device_bytes
    return {
        **case,
        **found,
        "device": "cuda" if cuda else "cpu",
        "measured": measured,
        "estimated": guess,
        "error": guess / measured - 1,
        "share_of_model": 1 - CPU_BASE[estimate.base] / guess if not cuda else 1,
        "parts": vars(estimate.memory),
        "seconds_estimated": estimate.seconds(Device()),
        "layers": estimate.work.layers,
        "flops": estimate.work.flops,
    }


def estimated(case: dict[str, Any], folder: Path, cuda: bool) -> Estimate:
    """The planner's estimate of a case."""
    stage = estimate_evaluation if case["stage"] == "score" else estimate_training
    estimate = stage(spec_of(case, folder / "model"), folder / "data", Machine(gpu=cuda))
    assert estimate is not None
    return estimate


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown, with the median and the largest error."""
    lines = [
        "| device | stage | model | vocabulary | batch | rates | measured, MB | estimated, MB | error | CPU s | estimated s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['device']} | {r['stage']} | {r['size']} | {r['vocabulary']} | {r['batch']} | {r['rates']} | {r['measured'] / 1e6:.0f} "
            f"| {r['estimated'] / 1e6:.0f} | {r['error']:+.0%} | {r['cpu_seconds']:.1f} | {r['seconds_estimated']:.1f} |"
        )
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]]) -> str:
    """Median and largest relative error, of all rows and of those in which the model takes more than half."""
    lines = []
    for name, chosen in (
        ("all", rows),
        ("model above half of the memory", [r for r in rows if r["share_of_model"] > 0.5]),
    ):
        if chosen:
            errors = [abs(r["error"]) for r in chosen]
            lines.append(
                f"{name}: {len(chosen)} runs, error of the estimate: median {statistics.median(errors):.0%}, "
                f"largest {max(errors):.0%} (signed: {min(r['error'] for r in chosen):+.0%} to {max(r['error'] for r in chosen):+.0%})"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure all cases (or those that `--only` names) and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write <out>.json and <out>.md")
    parser.add_argument("--only", default="", help="stages and sizes to run, by comma: sft,11M")
    parser.add_argument("--limit-gib", type=float, default=4.0, help="leave out cases that are estimated to take more")
    parser.add_argument(
        "--measured", type=Path, help="take measurements from this .json and make only the estimates anew"
    )
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run(json.loads(arguments.case), arguments.folder)
        return
    import torch

    cuda = torch.cuda.is_available()
    if not cuda:
        print("no CUDA device: the allocator's peak is not measured")
    wanted = set(filter(None, arguments.only.split(",")))
    rows: list[dict[str, Any]] = []
    known = {}
    if arguments.measured:
        for row in json.loads(arguments.measured.read_text())["rows"]:
            known[tuple(row[key] for key in KEYS)] = {key: row[key] for key in ("rss", "allocated", "cpu_seconds")}
    with tempfile.TemporaryDirectory() as name:
        built: tuple[str, int] | None = None
        for case in cases():
            if not wanted <= {
                case["stage"],
                case["size"],
                str(case["vocabulary"]),
                f"rates{case['rates']}",
                f"batch{case['batch']}",
            }:
                continue
            folder = Path(name)
            case["dtype"] = "float32"
            if built != (case["size"], case["vocabulary"]):
                build(folder / "model", case["size"], case["vocabulary"])
                lengths.token_counter.cache_clear()
                shape_of.cache_clear()
                lengths._KNOWN.clear()
                built = case["size"], case["vocabulary"]
            if not (folder / "data").is_dir():
                prepare(load_tasks()[TASK], spec_of(case, folder / "model").data, folder / "data" / TASK)
            for device in ("cpu", "cuda") if cuda else ("cpu",):
                case["dtype"] = "bfloat16" if device == "cuda" else "float32"
                if device == "cuda" or estimated(case, folder, False).device_bytes < arguments.limit_gib * GIB:
                    key = tuple(case[name] for name in KEYS)
                    if arguments.measured and key not in known:
                        continue
                    found = known.get(key) or measure(case, folder, device == "cuda")
                    rows.append(compare(case, found, folder, device == "cuda"))
                    print(table(rows[-1:]).splitlines()[-1], flush=True)
                    save(rows, arguments.out)
    print(table(rows), summary(rows), foot(provenance()), sep="\n\n")


def save(rows: list[dict[str, Any]], out: Path | None) -> None:
    """Write what is there by now, as JSON and Markdown."""
    if out:
        write_json(out.with_suffix(".json"), {**provenance(), "rows": rows})
        write_text(out.with_suffix(".md"), f"{table(rows)}\n\n{summary(rows)}\n\n{foot(provenance())}\n")


if __name__ == "__main__":
    main()
