"""Scores of one trained run on its tasks (rule evaluate)."""

from rl4nlu.jobs import header, limit_threads, load_run, main_of, run_arguments, standing


def main() -> None:
    arguments = run_arguments(
        __doc__,
        trained="folder of the trained run, with its adapter or model",
        results="folder of the runs that this one stands on, by their addresses",
    )
    _, spec = load_run(arguments.config, arguments.run)
    header(spec)
    limit_threads(spec.threads)
    stands_on = standing(spec, arguments.results)
    from rl4nlu.evaluate import evaluate_run, load_backbone_of

    backbone = None
    if "backbone" in stands_on:
        from rl4nlu.merging import merged_model

        backbone = load_backbone_of(merged_model(spec, stands_on["backbone"]))
    evaluate_run(spec, arguments.data, arguments.trained, arguments.out, backbone)


if __name__ == "__main__":
    main_of(main)
