"""Scores of one trained run on its tasks (rule evaluate)."""

from pathlib import Path

from rl4nlu.checkpoint import stop_on_sigterm
from rl4nlu.jobs import header, limit_threads, load_run, main_of, run_arguments


def main() -> None:
    arguments = run_arguments(
        __doc__,
        trained="folder of the trained run, with its adapter or model",
        work="folder of unfinished runs (default: work)",
    )
    _, spec = load_run(arguments.config, arguments.run)
    header(spec)
    limit_threads(spec.threads)
    stop_on_sigterm()
    from rl4nlu.evaluate import evaluate_run

    evaluate_run(spec, arguments.data, arguments.trained, arguments.out, work=arguments.work or Path("work"))


if __name__ == "__main__":
    main_of(main)
