"""The choice of the learning rate: the best on validation, the first of equals; what diverges is dropped and recorded."""

import json
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rl4nlu.base.checkpoint import NOT_SAVED, Checkpoint
from rl4nlu.base.errors import Diverged
from rl4nlu.methods.candidates import Candidate, best_of, explain_divergence


def run_of(rates: list[float], learning_rate_from: str | None = None) -> Any:
    """What `best_of` reads of a run."""
    return SimpleNamespace(
        settings=SimpleNamespace(learning_rates=rates),
        address=SimpleNamespace(path="tiny/sft/sst2/main/seed0"),
        method="sft-rationale",
        learning_rate_from=learning_rate_from,
    )


def choose(outcomes: list[float | None], out: Path) -> Candidate:
    """`best_of` over candidates 1, 2, ... with these validation scores (None: diverges)."""

    def train(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(rate))
        score = outcomes[int(rate) - 1]
        if score is None:
            raise Diverged(f"step {rate:g}: the training loss is nan")
        return Candidate({"validation": score, "loss": 0.5}, [{"step": 1, "validation": score}])

    return best_of(run_of([float(i + 1) for i in range(len(outcomes))]), train, out, "kept", NOT_SAVED)


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [([5.0], 1), ([5.0, 6.0, 4.0], 2), ([5.0, 5.0], 1), ([None, -3.0, -2.0], 3), ([0.0, None], 1), ([-1.0, 0.0], 2)],
)
def test_the_best_on_validation_is_kept_and_the_first_of_equals(
    outcomes: list[float | None], best: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = choose(outcomes, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.jsonl", "kept"]
    assert (tmp_path / "kept" / "weights").read_text() == str(float(best))
    assert (found.facts["learning_rate"], found.facts["validation"]) == (best, outcomes[best - 1])
    assert [c["validation"] for c in found.facts["candidates"]] == outcomes
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines == found.history == [{"step": 1, "validation": outcomes[best - 1]}]
    dropped = [f"learning rate {n} is dropped: step {n}: the training loss is nan" for n, o in enumerate(outcomes, 1) if o is None]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == dropped


def test_if_all_diverge_one_message_names_the_run_and_the_rates_and_nothing_is_left(tmp_path: Path) -> None:
    message = (
        r"^run tiny/sft/sst2/main/seed0: training diverged at every learning rate \(1, 2\); "
        r"at the last one, step 2: the training loss is nan; lower sft_rationale\.learning_rates"
    )
    with pytest.raises(Diverged, match=message):
        choose([None, None], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_rate_that_another_run_chose_and_that_diverges_here_is_told_with_both_runs() -> None:
    said = explain_divergence(run_of([0.003], "tiny/sft/sst2/main/seed7"), "step 2: the training loss is nan")
    assert said == (
        "run tiny/sft/sst2/main/seed0: training diverged at the learning rate 0.003, which run tiny/sft/sst2/main/seed7 chose: "
        "step 2: the training loss is nan; lower sft_rationale.learning_rates, or set the model's dtype to float32"
    )


def test_every_candidate_has_a_state_of_its_own(tmp_path: Path) -> None:
    seen = []

    def train(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        folder.mkdir(parents=True)
        seen.append((state.folder, state.digest))
        return Candidate({"validation": rate}, [])

    best_of(run_of([1.0, 2.0]), train, tmp_path / "out", "kept", Checkpoint(tmp_path / "state", "d"))
    assert [folder for folder, _ in seen] == [tmp_path / "state" / "candidate0", tmp_path / "state" / "candidate1"]
    assert len({digest for _, digest in seen}) == 2


def test_only_one_backbone_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """What a candidate's training refers to, in a cycle as trainers do, is gone before the next one begins."""
    loaded: list[weakref.ref[Any]] = []

    class Backbone:
        def __init__(self) -> None:
            self.trainer = self

    def train(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        assert [one() for one in loaded if one() is not None] == []
        backbone = Backbone()
        loaded.append(weakref.ref(backbone))
        folder.mkdir(parents=True)
        if rate == 2:
            raise Diverged("step 1: the training loss is nan")
        return Candidate({"validation": rate}, [])

    best_of(run_of([1.0, 2.0, 3.0]), train, tmp_path, "kept", NOT_SAVED)
    assert len(loaded) == 3
