"""Scores of one trained run on its tasks (rule evaluate)."""

from rl4nlu.jobs import header, limit_threads, load_run, main_of, run_arguments


def main() -> None:
    arguments = run_arguments(__doc__, trained="folder of the trained run, with its adapter or model")
    _, spec = load_run(arguments.config, arguments.run)
    header(spec)
    limit_threads(spec.threads)
    from rl4nlu.evaluate import evaluate_run

    evaluate_run(spec, arguments.data, arguments.trained, arguments.out)


if __name__ == "__main__":
    main_of(main)
