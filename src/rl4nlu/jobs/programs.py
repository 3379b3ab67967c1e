"""The programs of the workflow's steps: training, answering (prompting, where nothing is trained) and scoring of one run.

The programs in `workflow/scripts/` are the rules' commands and run by hand alike:
`python workflow/scripts/sft.py --config config/config.yaml --run micro-llama/sft/cola/main/seed0 ...`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.checkpoint import Checkpoint
from ..base.errors import ConfigError
from ..base.files import REPOSITORY, read_json
from ..base.journal import Journal
from ..base.machine import environment
from ..config import METHODS, PROMPTING_METHODS, Config
from ..models.fetch import cached_commit
from ..runs.grid import Grid
from ..runs.keys import answers_key, answers_record, data_digest, folders_of, keys_of, scores_key, training_key
from ..runs.spec import RunSpec
from .failures import explained
from .pieces import Piece, work_through
from .start import Place, header, load_run, run_arguments, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def run_record(spec: RunSpec, facts: dict[str, Any]) -> dict[str, Any]:
    """The record of a run: what was asked for and what it ran with; the key and the cost are added by `pieces`."""
    return {
        "run": spec.address.path,
        "digest": spec.digest,
        "spec": spec.model_dump(mode="json"),
        "model_commit": cached_commit(spec.model_spec),
        **({"encoder_commit": cached_commit(spec.encoder_spec)} if spec.encoder_spec else {}),
        **(
            {"judge_commits": {task: cached_commit(judge) for task, judge in spec.judges.items()}}
            if spec.judges
            else {}
        ),
        **({"guide_commit": cached_commit(spec.guide_spec)} if spec.guide_spec else {}),
        "facts": facts,
        "environment": environment(REPOSITORY),
    }


def others_of(
    config: Config,
    grid: Grid,
    spec: RunSpec,
    place: Place,
    piece: Callable[[RunSpec, Path], Piece | None],
    methods: Sequence[str],
) -> Callable[[], Iterator[Piece]] | None:
    """What a process goes on with when its own run is done: other runs of the grid of the same model.

    The longest come first, so that processes side by side end at about the same time.

    Args:
        config: says whether a batch is wanted.
        grid: of the config.
        spec: the process's own run.
        place: folders; without results/ there is no batch.
        piece: of a run and its folder in results/; None or ConfigError where it is not ready.
        methods: that may share a process.
    """
    results = place.results
    if not config.batch or results is None:
        return None
    runs = [r for a, r in grid.runs.items() if a.model == spec.model and a.method in methods]

    def ready() -> Iterator[Piece]:
        found = []
        for run in runs:
            with suppress(ConfigError, OSError, KeyError):
                found.append(piece(run, results / run.address.path))
        yield from sorted((p for p in found if p is not None), key=lambda p: -p.size)

    return ready


def check_answers(spec: RunSpec) -> None:
    """See, before a decoder is trained or asked, that its answers have room (`fit.check_room`).

    Raises:
        ConfigError: a label is longer than answers may be.
    """
    if METHODS[spec.method].loads == "decoder":
        from ..answering.fit import check_room
        from ..models.load import load_tokenizer

        check_room(spec, load_tokenizer(spec.model_spec))


# Training ----------------------------------------------------------------------------------------------------------


def training_program(program: str, argv: list[str] | None = None) -> None:
    """The whole program `workflow/scripts/<program>.py` of the methods whose entries in `config.METHODS` name it.

    With `batch` in the config it goes on with other runs of its model and method. A new method is an entry there and the
    module that the entry names, with
    `train(spec: RunSpec, data: Path, out: Path, start_adapter: Path | None = None, checkpoint: Checkpoint = NOT_SAVED)`,
    which writes what the entry says it leaves into `out`, depends on its arguments alone, goes on from `checkpoint` and
    saves there, and returns the facts that `run.json` is to hold; it takes `stands_on`, too, if the entry stands on other
    methods. The script is `main_of(lambda: training_program("<program>"))`: the module is imported only where something is
    to be trained.

    Raises:
        ConfigError: the run, its rows or what it stands on cannot be used.
    """
    arguments = run_arguments(
        f"Train one run of a method that {program}.py trains.",
        argv,
        work="folder of unfinished runs and of finished ones that are not in place (default: work)",
        start="adapter folder to start from",
        tensorboard="folder for TensorBoard's events (ppo)",
    )
    config, grid, spec = load_run(arguments.config, arguments.run)
    if METHODS[spec.method].program != program:
        raise ConfigError(f"run {arguments.run!r} is made by {METHODS[spec.method].program}.py, not by {program}.py")
    header(f"{spec.method} {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.out)
    given = {"start": arguments.start.parent} if arguments.start else {}
    given |= {role: place.standing(spec, path) for role, path in spec.foundations.items() if role != "start"}
    more = {"tensorboard": arguments.tensorboard} if arguments.tensorboard else {}
    own = training_piece(spec, place, given, arguments.out, more)

    def piece(run: RunSpec, out: Path) -> Piece | None:
        assert place.results is not None
        stands_on = folders_of(run, grid, place.data, place.results)
        return None if stands_on is None else training_piece(run, place, stands_on, out)

    others = others_of(config, grid, spec, place, piece, [spec.method])
    work_through(own, others, lambda: warm_up(spec, str(METHODS[spec.method].module)))


def training_piece(
    spec: RunSpec,
    place: Place,
    stands_on: dict[str, Path],
    out: Path,
    more: dict[str, Path] | None = None,
) -> Piece:
    """The training of a run; it can answer its tasks at once.

    Args:
        spec: the run.
        place: folders.
        stands_on: folders of the runs that it stands on, by their roles.
        out: folder of the run.
        more: further arguments of `train`.
    """
    method, key = METHODS[spec.method], training_key(spec, place.data, stands_on)
    folder = place.work / spec.method / key

    def make(partial: Path) -> dict[str, Any]:
        check_answers(spec)
        train = import_module(f"rl4nlu.{method.module}").train
        given: dict[str, Any] = {"start_adapter": stands_on["start"] / "adapter"} if "start" in stands_on else {}
        if spec.stands_on:
            given["stands_on"] = {role: stands_on[role] for role in spec.stands_on}
        if spec.method == "pairs":
            given["cache"] = place.work / "verdicts"  # beside the answers that rationales were made of
        if getattr(spec.settings, "guide", None) == "endpoint":
            given["cache"] = place.work / "guides"
        checkpoint = Checkpoint(folder.with_name(f"{key}.state"), key, place.save_every)
        run = take_learning_rate(spec, stands_on)
        facts = train(run, place.data, partial, **given, **(more or {}), checkpoint=checkpoint)
        made_from = {"data_digest": data_digest(spec, place.data), "stands_on": keys_of(stands_on)}
        return {**made_from, **run_record(spec, facts)}

    def answers() -> Piece | None:
        with suppress(ConfigError):
            return answering_piece(spec, place, folder, key, out / "answers") if method.scored else None
        return None

    size = getattr(spec.settings, "prompts", 0) * spec.trainings
    return Piece(
        "training",
        spec.address.path,
        key,
        folder,
        out,
        make,
        kept=method.leaves,
        seed=spec.seed,
        size=size,
        then=answers,
    )


def take_learning_rate(spec: RunSpec, stands_on: dict[str, Path]) -> RunSpec:
    """The run with the one learning rate that another seed's run chose for it; the run as it is where it chooses itself."""
    if spec.learning_rate_from is None:
        return spec
    chosen = read_json(stands_on["learning_rate"] / "run.json")["facts"]["learning_rate"]
    return spec.model_copy(update={"settings": spec.settings.model_copy(update={"learning_rates": [chosen]})})


# Answers -----------------------------------------------------------------------------------------------------------


def answering_program(argv: list[str] | None = None) -> None:
    """The whole program that asks a trained run; with `batch` in the config it goes on with others that are trained."""
    arguments = run_arguments(
        "Answers of one trained run to the rows of its tasks (rule answer_run).",
        argv,
        work="folder of unfinished answers and of finished ones that are not in place (default: work)",
        trained="folder of the trained run, with its adapter or model",
    )
    if arguments.trained is None:
        raise ConfigError("--trained: name the folder of the trained run")
    config, grid, spec = load_run(arguments.config, arguments.run)
    header(f"answers {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.trained)
    record = arguments.trained / "run.json"
    if not record.is_file():
        raise ConfigError(f"{record}: no such file; was the run trained?")
    own = answering_piece(spec, place, arguments.trained, read_json(record)["key"], arguments.out)

    def piece(run: RunSpec, folder: Path) -> Piece | None:
        made = read_json(folder / "run.json")
        if made["digest"] != run.digest:
            return None
        return answering_piece(run, place, folder, made["key"], folder / "answers")

    others = others_of(config, grid, spec, place, piece, [spec.method])
    work_through(own, others, lambda: warm_up_answering(spec))


def warm_up_answering(spec: RunSpec) -> None:
    """`warm_up` for the model that answers, if there is one."""
    method = METHODS[spec.method]
    if method.loads is not None:
        warm_up(spec, "models.load", method.answered_by)


def answering_piece(spec: RunSpec, place: Place, trained: Path, key: str, out: Path) -> Piece:
    """The answers of the trained run in the folder `trained`, whose key is `key`.

    Raises:
        ConfigError: rows are not prepared.
    """
    named = answers_key(spec, place.data, key)
    folder = place.work / "answering" / named

    def make(partial: Path) -> dict[str, Any]:
        check_answers(spec)
        from ..answering.answer import answer_run

        backbone = None
        if "backbone" in spec.stands_on:
            from ..answering.decoder import load_backbone_of
            from ..methods.merge import merged_model

            backbone = load_backbone_of(merged_model(spec, place.standing(spec, spec.stands_on["backbone"])))
        answer_run(spec, place.data, trained, partial, backbone, Journal(folder.with_name(f"{named}.jsonl"), named))
        return {"run": spec.address.path, "trained": key, "digest": spec.answers_digest}

    return Piece("answering", spec.address.path, named, folder, out, make, proof="answers.json", seed=spec.seed)


def prompting_program(argv: list[str] | None = None) -> None:
    """The whole program of a method that trains nothing; with `batch` in the config it goes on with others like it."""
    arguments = run_arguments(
        "Answers of one baseline that trains nothing: majority, random, zero-shot or few-shot (rule prompt).",
        argv,
        work="folder of unfinished runs and of finished ones that are not in place (default: work)",
    )
    config, grid, spec = load_run(arguments.config, arguments.run)
    header(f"{spec.method} {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.out)
    own = prompting_piece(spec, place, arguments.out)
    alike = [name for name in PROMPTING_METHODS if METHODS[name].loads == METHODS[spec.method].loads]
    others = others_of(config, grid, spec, place, lambda run, out: prompting_piece(run, place, out), alike)
    work_through(own, others, lambda: warm_up_answering(spec))


def prompting_piece(spec: RunSpec, place: Place, out: Path) -> Piece:
    """A run of a method that trains nothing: its answers to all of its tasks.

    Raises:
        ConfigError: rows are not prepared.
    """
    key = answers_key(spec, place.data, None)
    folder = place.work / "prompting" / key

    def make(partial: Path) -> dict[str, Any]:
        check_answers(spec)
        from ..answering.answer import answer_run

        journal = Journal(folder.with_name(f"{key}.jsonl") if METHODS[spec.method].loads else None, key)
        answer_run(spec, place.data, None, partial / "answers", journal=journal)
        return run_record(spec, {}) | {"digest": spec.answers_digest}

    kept = METHODS[spec.method].leaves
    return Piece("prompting", spec.address.path, key, folder, out, make, kept=kept, seed=spec.seed)


# Scores ------------------------------------------------------------------------------------------------------------


def scoring_program(argv: list[str] | None = None) -> None:
    """The whole program that scores a run's answers: about a second, without torch and without a model."""
    arguments = run_arguments(
        "Scores of one run's answers (rule score_run).",
        argv,
        work="folder of leases, and of scores that are not in place (default: work)",
        answers="folder of the run's answers",
    )
    if arguments.answers is None:
        raise ConfigError("--answers: name the folder of the run's answers")
    config, _, spec = load_run(arguments.config, arguments.run)
    place = Place.of(arguments, config, spec, arguments.answers.parent)
    record = answers_record(spec, arguments.answers)
    if not record.is_file():
        raise ConfigError(f"{record}: no such file; was the run asked?")
    key = read_json(record)["key"]

    def make(partial: Path) -> dict[str, Any]:
        from ..scores.evaluate import score_run

        score_run(spec, place.data, arguments.answers, partial)
        return {"run": spec.address.path, "answers": key, "digest": spec.evaluation_digest}

    named = scores_key(spec, key)
    folder = place.work / "scoring" / named
    own = Piece("scoring", spec.address.path, named, folder, arguments.out, make, proof="scores.json", seed=spec.seed)
    work_through(own, None, lambda: None)


def main_of(program: Callable[[], None]) -> None:
    """Run a program; what is no fault of the code ends in one message without a traceback (`failures.explained`)."""
    try:
        program()
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        message, status = told
        print(message, file=sys.stderr)
        raise SystemExit(status) from None
