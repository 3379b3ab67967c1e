"""Progress by a clock that the test turns."""

import io
from types import SimpleNamespace

import pytest

from rl4nlu.base.progress import Progress, Stopwatch, duration, rate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream, steps, seconds_a_step, done=0, **numbers):
    now = [0.0]
    progress = Progress("a run", steps, "roll-outs", done=done, stream=stream, clock=lambda: now[0])
    for _ in range(steps - done):
        now[0] += seconds_a_step
        progress.advance(**numbers)
    progress.close()
    return stream.getvalue()


def test_a_log_gets_a_line_now_and_then_with_rate_and_rest():
    lines = told(io.StringIO(), 1000, 1.0, reward=0.25).splitlines()
    assert lines[0] == "a run: 5 of 1000 roll-outs (0 %) · 1 roll-outs/s · 16:35 left · reward 0.25"
    assert lines[1].startswith("a run: 15 of 1000 roll-outs (1 %)")
    assert lines[-1] == "a run: 1000 of 1000 roll-outs (100 %) · 1 roll-outs/s · in 16:40 · reward 0.25"
    assert 15 < len(lines) < 25


def test_short_work_takes_one_line():
    assert told(io.StringIO(), 4, 0.5).splitlines() == ["a run: 4 of 4 roll-outs (100 %) · 2 roll-outs/s · in 2 s"]


def test_what_was_done_before_a_restart_is_no_part_of_the_rate():
    assert "· 30 roll-outs/min · in 20 s" in told(io.StringIO(), 100, 2.0, done=90).splitlines()[-1]


def test_a_terminal_gets_a_bar_that_is_drawn_over():
    text = told(Terminal(), 100, 0.01)
    assert text.count("\n") == 1
    assert 3 <= text.count("\r") <= 8
    assert text.splitlines()[-1].split("\r")[-1].startswith("\033[K[########################]")


@pytest.mark.parametrize(("seconds", "said"), [(8.4, "8 s"), (200, "3:20"), (3750, "1:02:30")])
def test_durations_read_well(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [(30, 10, "3 rows/s"), (5, 10, "30 rows/min"), (1, 600, "6 rows/h"), (1, 0, "1e+09 rows/s")],
)
def test_rates_read_well(done, seconds, said):
    assert rate(done, seconds, "rows") == said


def test_a_stopwatch_counts_while_it_runs_and_no_second_twice(monkeypatch):
    now = {"wall": 100.0, "cpu": 50.0}
    clocks = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["cpu"])
    monkeypatch.setattr("rl4nlu.base.progress.time", clocks)

    def pass_by(wall, cpu):
        now["wall"] += wall
        now["cpu"] += cpu

    clock = Stopwatch({"seconds": 1.0, "cpu_seconds": 0.5})
    pass_by(4, 2)
    clock.pause()
    clock.pause()  # such as a state that is saved behind the last step
    pass_by(10, 10)
    clock.pause()
    clock.go_on()
    pass_by(2, 1)
    clock.pause()
    assert clock.spent() == {"seconds": 7.0, "cpu_seconds": 3.5}
