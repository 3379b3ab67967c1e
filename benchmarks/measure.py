"""What the benchmark scripts share: peers in environments of their own, measured processes, random models, tables, plots.

A script holds one comparison: the *sides* (functions from a job, which is JSON, to results, which are JSON), and `compare`,
which runs them in turn, checks that their results are equal, and only then prints what they cost. A side runs in a
process of its own, at one torch thread, in the peer's environment or in ours:

    def ours(job, clock):
        from rl4nlu... import ...                # heavy imports stay inside, for the peers' sake
        with clock:                              # the work itself
            results = ...
        return results

    def compare(arguments):
        peer = measure.environment("trl-1.12", ["trl==1.12.0", "torch==2.13.0"])
        runs = measure.alternate(__file__, {"ours": sys.executable, "peer": peer}, job, arguments.repeats)
        measure.equal({"log-probabilities": (largest_difference(runs), 1e-4)})
        measure.save("name", {...}, measure.table([...]), arguments.quick)

    if __name__ == "__main__":
        measure.main(__doc__, compare, {"ours": ours, "peer": theirs})

This file imports nothing but the standard library at the top: peers' environments read it too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl4nlu.tasks.rows import Row
    from rl4nlu.tasks.task import Task

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work" / "benchmarks"
"""Environments, models and quick results; ignored by git, made again when absent."""

RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "trl",
    "lm-eval",
    "datasets",
    "accelerate",
    "numpy",
    "scipy",
    "scikit-learn",
)
"""Packages whose versions are recorded."""

BEGAN, LOAD = time.monotonic(), os.getloadavg()[0]
"""When this program started, and the machine's load then."""

RAN: dict[str, dict[str, str]] = {}
"""Versions of what ran, one entry a Python that `run` started: "ours", or the name of the peer's environment."""


class Absent(Exception):
    """What a comparison needs is not here; the message is the one line that the user gets."""


# 1. One program, many processes --------------------------------------------------------------------------------------

Side = Callable[[Any, "Clock"], Any]


class Clock:
    """CPU-seconds of the blocks that run under it, of all threads, and the memory (MB) in use when the first began."""

    def __init__(self) -> None:
        self.seconds, self.memory_before, self._started = 0.0, 0.0, 0.0

    def __enter__(self) -> Clock:
        self.memory_before = self.memory_before or memory("VmRSS")
        self._started = time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += time.process_time() - self._started


@dataclass(frozen=True)
class Run:
    """One run of one side.

    work and process: CPU-seconds of the work itself, and of the whole process with its imports. peak and before: memory
    in MB, the most that was resident, and what was when the work began. versions: of the packages that the side ran.
    """

    results: Any
    work: float
    process: float
    peak: float
    before: float
    versions: dict[str, str]


def memory(field: str) -> float:
    """Resident memory of this process in MB: now (`VmRSS`), or the most it was (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise Absent(f"/proc/self/status has no {field}: memory is measured on Linux only")


def main(
    description: str | None,
    compare: Callable[[argparse.Namespace], None],
    sides: dict[str, Side],
    options: dict[str, dict[str, Any]] | None = None,
) -> None:
    """The command line of a benchmark script: `compare`, or one side of it in a process that `run` started.

    `options` are the script's own, as `add_argument` takes them: name -> settings.
    """
    if sys.argv[1:2] == ["--side"]:
        _, name, job, out = sys.argv[1:]
        clock = Clock()
        try:
            results = sides[name](json.loads(Path(job).read_text()), clock)
        except Absent as error:
            Path(out).write_text(json.dumps({"absent": str(error)}))
            return
        facts = Run(results, clock.seconds, time.process_time(), memory("VmHWM"), clock.memory_before, versions())
        Path(out).write_text(json.dumps(asdict(facts)))
        return
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the official files")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--quick", action="store_true", help="few rows, once; results are not kept")
    for name, how in (options or {}).items():
        parser.add_argument(name, **how)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats = 1
    try:
        compare(arguments)
    except Absent as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None


def run(script: str, side: str, python: str | Path, job: Any, threads: int = 1, prefix: Sequence[str] = ()) -> Run:
    """`sides[side](job)` of `script` in a new process of `python`; `prefix` is an emulator's command, if one runs it.

    Raises:
        Absent: the side said that something is not here.
        RuntimeError: the process failed; the message ends with what it wrote last.
    """
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    limits |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    own = {"PYTHONPATH": str(ROOT / "src")} if Path(python) == Path(sys.executable) else {"PYTHONPATH": ""}
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "job.json"), Path(folder, "run.json")
        question.write_text(json.dumps(job))
        done = subprocess.run(
            [*prefix, str(python), script, "--side", side, str(question), str(answer)],
            env={**os.environ, **limits, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-25:])
            raise RuntimeError(f"side {side} ended with {done.returncode}:\n{last}")
        found = json.loads(answer.read_text())
    if "absent" in found:
        raise Absent(found["absent"])
    name = "ours" if Path(python) == Path(sys.executable) else Path(python).parents[1].name
    RAN[name] = found["versions"]
    return Run(**found)


def alternate(script: str, sides: dict[str, str | Path], job: Any, repeats: int) -> dict[str, list[Run]]:
    """Runs of each side (name -> Python), in turn, the order reversed at every repeat, so that both meet the same machine.

    `job` is what all sides get, or a dictionary with one job a side where its keys are the sides' names.
    """
    runs: dict[str, list[Run]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in list(sides)[:: 1 if repeat % 2 == 0 else -1]:
            own = job[side] if isinstance(job, dict) and set(job) == set(sides) else job
            runs[side].append(run(script, side, sides[side], own))
            last = runs[side][-1]
            note(f"  {side}, repeat {repeat + 1}: {last.work:.2f} CPU-seconds, {last.peak:.0f} MB")
    return runs


def note(text: str) -> None:
    """Progress, on the standard error."""
    print(text, file=sys.stderr, flush=True)


def cost(runs: Iterable[Run]) -> dict[str, Any]:
    """Medians over repeats: `work` and `process` (CPU-seconds; `least`, `most` bound the work) and `peak` (MB)."""
    runs = list(runs)
    work = [run.work for run in runs]
    return {
        "work": statistics.median(work),
        "least": min(work),
        "most": max(work),
        "process": statistics.median(run.process for run in runs),
        "peak": statistics.median(run.peak for run in runs),
        "before": statistics.median(run.before for run in runs),
        "repeats": len(work),
    }


def equal(differences: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Prints each difference that was found beside the one that is allowed; call it before any timing is printed.

    Raises:
        SystemExit: one is larger, or is no number.
    """
    for what, (found, allowed) in differences.items():
        print(f"equality: {what}: {found:.3g} (allowed: {allowed:.3g})")
        if not found <= allowed:
            raise SystemExit(
                f"the sides differ in {what}: {found:.3g}, allowed are {allowed:.3g}; no timing is printed"
            )
    return {what: {"found": found, "allowed": allowed} for what, (found, allowed) in differences.items()}


# 2. Peers ------------------------------------------------------------------------------------------------------------


def environment(name: str, packages: list[str]) -> Path:
    """Python of a virtual environment that holds `packages` ("trl==0.11.4"), made when it is absent or holds others.

    Raises:
        Absent: pip could not install them.
    """
    folder, wanted = WORK / "environments" / name, "\n".join(packages)
    python, record = folder / "bin" / "python", folder / "packages.txt"
    if record.is_file() and record.read_text() == wanted and python.exists():
        return python
    note(f"making the environment {name}: {', '.join(packages)}")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", *packages],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        why = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or ["no message"]
        raise Absent(f"the peer's packages ({', '.join(packages)}) cannot be installed: {why[0]}")
    record.write_text(wanted)
    return python


def versions() -> dict[str, str]:
    """Versions of Python and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


# 3. Data, tokenizers and models --------------------------------------------------------------------------------------


def rows(task: str, data: Path, split: str = "test") -> tuple[Task, list[Row]]:
    """A task, and the rows of its official `split` (train, or test: the official dev).

    Raises:
        Absent: the official files are not there.
    """
    from rl4nlu.base.errors import ConfigError
    from rl4nlu.config import Data
    from rl4nlu.tasks.prepare import read
    from rl4nlu.tasks.task import load_task

    settings = Data.model_validate({"source": "local", "data_root": str(data)})
    try:
        return load_task(task), read(load_task(task), settings)[0][split]
    except ConfigError as error:
        raise Absent(f"the official files are needed (--data): {error}") from None


@dataclass(frozen=True)
class Shape:
    """A Llama: entries of the vocabulary, width, inner width, layers, heads, key/value heads, whether the head is tied."""

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    tied: bool = True


SHAPES = {
    "rand_260k": Shape(512, 64, 172, 5, 8, 4),
    "rand_small": Shape(512, 256, 688, 4, 8, 4),
    "rand_32k": Shape(32_000, 256, 688, 6, 8, 8),
}
"""0.26 M, 3.0 M and 12.9 M parameters."""

POSITIONS = 8192
"""Window of the random models: nothing that is compared is cut."""


def model(shape: Shape | str, data: Path, seed: int = 0) -> Path:
    """Folder of a random Llama in float32 and a tokenizer of its vocabulary; made once, the same every time.

    Weights are drawn three times as wide as usual, so that answers differ in likelihood by more than rounding does.
    """
    shape = SHAPES[shape] if isinstance(shape, str) else shape
    key = hashlib.sha256(f"{asdict(shape)} {seed}".encode()).hexdigest()[:10]
    folder = WORK / "models" / f"llama-{shape.vocabulary}-{shape.width}x{shape.layers}-{key}"
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    words = WORK / "models" / f"tokenizer-{shape.vocabulary}"
    if not (words / "tokenizer_config.json").is_file():
        save_tokenizer(data, shape.vocabulary, words)
    shutil.copytree(words, beside)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=shape.tied,
        initializer_range=0.06,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).eval().save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return folder


def parameters(shape: Shape | str) -> int:
    """Number of a shape's parameters (a tied head is counted once)."""
    shape = SHAPES[shape] if isinstance(shape, str) else shape
    head = shape.width // shape.heads
    attention = 2 * shape.width * head * (shape.heads + shape.key_value_heads)
    layer = attention + 3 * shape.width * shape.inner + 2 * shape.width
    return shape.vocabulary * shape.width * (1 if shape.tied else 2) + shape.layers * layer + shape.width


def save_tokenizer(data: Path, vocabulary: int, folder: Path) -> None:
    """A byte-level BPE tokenizer with `<s>` (0, before every text), `</s>` (1), `<pad>` (2), trained on the real rows.

    Raises:
        Absent: there are no rows, or too few for so large a vocabulary.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts(data), trainer)
    if core.get_vocab_size() != vocabulary:
        raise Absent(f"{data}: its rows give a vocabulary of {core.get_vocab_size()}, and {vocabulary} are needed")
    core.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    plain = {
        **json.loads(settings.read_text()),
        "tokenizer_class": "PreTrainedTokenizerFast",
    }  # old versions read it too
    settings.write_text(json.dumps(plain, indent=1))


def texts(data: Path) -> Iterator[str]:
    """Lines of the GLUE and SuperGLUE training files in a fixed order: cells of a tab-separated line, values of a JSON line.

    Raises:
        Absent: there are none.
    """

    def values(part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            for inner in part.values() if isinstance(part, dict) else part:
                yield from values(inner)

    files = sorted([*data.glob("glue/*/train.tsv"), *data.glob("superglue/*/train.jsonl")])
    if not files:
        raise Absent(f"{data}: the official GLUE and SuperGLUE files are needed (--data), and there are none")
    for path in files:
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.strip():
                yield " ".join(values(json.loads(line))) if path.suffix == ".jsonl" else line.replace("\t", " ")


# 4. What is kept -----------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The machine, as far as a reader needs it."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load": [LOAD, os.getloadavg()[0]],
    }


def table(lines: list[dict[str, Any]]) -> str:
    """A Markdown table of rows with the same keys; numbers are written with three digits."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return str(value)

    header = list(lines[0])
    body = [[cell(line[key]) for key in header] for line in lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *body])


def provenance() -> dict[str, Any]:
    """How results were made: the command, date, minutes, machine with its load, and the versions that every side ran."""
    return {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "minutes": round((time.monotonic() - BEGAN) / 60, 1),
        "machine": machine(),
        "versions": RAN or {"ours": versions()},
    }


def foot(how: dict[str, Any]) -> str:
    """`provenance` in a few lines, for the end of a text."""
    where, (before, after) = how["machine"], how["machine"]["load"]
    lines = [
        f"`{how['command']}` · {how['date']}, {how['minutes']} minutes",
        f"{where['processor']}, {where['cores']} cores, pinned to {where['cores_used']}, {where['memory_gb']} GiB, "
        f"{where['system']} · one torch thread · load {before:.1f} before, {after:.1f} after",
        *(f"{side}: " + ", ".join(" ".join(pair) for pair in found.items()) for side, found in how["versions"].items()),
    ]
    return "\n\n".join(lines)


def save(name: str, record: dict[str, Any], text: str, quick: bool = False) -> Path:
    """Write `results/<name>.json` (the record) and `results/<name>.md`, both with their provenance, and print the text.

    A quick run's results go to the folder that git ignores. Returns the folder.
    """
    folder = WORK / "quick" if quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    how = provenance()
    (folder / f"{name}.json").write_text(json.dumps({"name": name, **how, **record}, indent=1) + "\n")
    (folder / f"{name}.md").write_text(f"{text}\n\n{foot(how)}\n")
    print(f"\n{text}\n\n{foot(how)}\n\nwritten: {folder}/{name}.json, {name}.md", flush=True)
    return folder


@dataclass(frozen=True)
class Panel:
    """One plot: `lines` are (label, ys) over the growing quantity `xs`."""

    xlabel: str
    xs: list[float]
    ylabel: str
    lines: dict[str, list[float]]
    log: bool = False


def plot(path: Path, panels: list[Panel]) -> None:
    """How cost grows: the panels side by side, in one PNG; both axes from zero, or both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    style = {
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#E5E5E5",
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(2.9 * len(panels), 2.7), layout="constrained")
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1)
            for (label, ys), colour, marker in zip(
                panel.lines.items(), ("#0072B2", "#D55E00", "#009E73", "#E69F00"), "osD^", strict=False
            ):
                axes.plot(panel.xs, ys, label=label, color=colour, marker=marker, markersize=4)
            axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
            if panel.log:
                axes.set(xscale="log", yscale="log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
                axes.yaxis.set_minor_locator(NullLocator())
            else:
                axes.set_ylim(bottom=0)
            axes.set_xticks(panel.xs, [f"{x:,.3g}" if x < 100 else f"{x:,.0f}" for x in panel.xs])
            axes.set_xticks([], minor=True)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
        figure.savefig(path, dpi=160, metadata={"Software": None})
    print(f"written: {path}")
