"""One baseline that trains nothing: majority, random, zero-shot or few-shot (rule prompting)."""

import time
from pathlib import Path

from rl4nlu.checkpoint import stop_on_sigterm
from rl4nlu.jobs import header, limit_threads, load_run, main_of, run_arguments, run_record
from rl4nlu.records import write_json


def main() -> None:
    arguments = run_arguments(__doc__, work="folder of unfinished runs (default: work)")
    started = time.monotonic()
    _, spec = load_run(arguments.config, arguments.run)
    header(spec)
    if spec.method in ("zero-shot", "few-shot"):  # the other two need no model
        limit_threads(spec.threads)
        stop_on_sigterm()
    from rl4nlu.evaluate import evaluate_run

    evaluate_run(spec, arguments.data, None, arguments.out / "evaluation", work=arguments.work or Path("work"))
    write_json(arguments.out / "run.json", run_record(spec, {}, started))


if __name__ == "__main__":
    main_of(main)
