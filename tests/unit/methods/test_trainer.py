"""History and clock, with a trainer made of plain calls."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from rl4nlu.base import progress
from rl4nlu.base.errors import Diverged
from rl4nlu.methods.trainer import Recorder


def trained(
    score: float,
    losses: tuple[float, ...] = (2.0, 1.0, 0.5),
    every: int = 0,
    validate: Callable[[], float] | None = None,
    step_done: Callable[[], None] = lambda: None,
) -> Recorder:
    """A recorder after one step a loss, four examples each but the last, which has two."""
    recorder = Recorder("sft", 4 * len(losses) - 2, 4, validate or (lambda: score), every)
    state = SimpleNamespace(global_step=0, max_steps=len(losses))
    recorder.on_train_begin(SimpleNamespace(learning_rate=1e-3), state, None)
    for step, loss in enumerate(losses, 1):
        state.global_step = step
        step_done()
        control = SimpleNamespace(should_log=False)
        recorder.on_step_end(None, state, control)
        if control.should_log or step == 1:  # the trainer itself logs step 1
            recorder.on_log(None, state, control, {"loss": loss, "learning_rate": 0.1})
    return recorder


def test_lines_are_written_where_validation_is_scored_and_at_the_end() -> None:
    assert [(r["step"], r["examples"], r["validation"]) for r in trained(7.0).history] == [(1, 4, None), (3, 10, 7.0)]
    lines = [(r["step"], r["validation"]) for r in trained(7.0, (1.0,) * 5, every=2).history]
    assert lines == [(1, None), (2, 7.0), (4, 7.0), (5, 7.0)]


def test_the_clock_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def take(seconds: float) -> float:
        now[0] += seconds
        return 7.0

    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(progress, "time", clock)
    recorder = trained(7.0, every=1, validate=lambda: take(100.0), step_done=lambda: take(1.0))
    assert recorder.clock.spent() == {"seconds": 3.0, "cpu_seconds": 1.5}
    assert recorder.trained().facts["validation"] == 7.0
    assert recorder.trained().facts["loss"] == 0.5


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(loss: float) -> None:
    with pytest.raises(Diverged, match=rf"step 1: the training loss is {loss}"):
        trained(1.0, (loss, 1.0))
