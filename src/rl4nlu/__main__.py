"""`python -m rl4nlu docs`: the generated files; `results`: the numbers that README tells; `plan`: what a config's runs cost; `status`: what stands of them."""

import argparse
import os
import sys
from pathlib import Path

from .base.errors import ConfigError
from .base.files import REPOSITORY, write_text
from .config import load_config, merge, read_yaml


def main() -> int:
    """Run the command that is named; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m rl4nlu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    docs = commands.add_parser("docs", help="write config/README.md and workflow/schemas/*.json")
    docs.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    docs.add_argument("--root", type=Path, default=REPOSITORY, help="folder to write below")
    docs.set_defaults(run=write_docs)
    results = commands.add_parser(
        "results", help="write README's results, docs/results.md and docs/results/ from the main job's output"
    )
    results.add_argument(
        "--check",
        choices=["exact", "overlap"],
        help=(
            "write nothing; fail where the output isn't equal to docs/results/ (exact) or the intervals of a mean don't overlap"
        ),
    )
    results.add_argument("--results", type=Path, default=Path("results"), help="folder of means.csv and the others")
    results.set_defaults(run=write_results)
    status = commands.add_parser(
        "status", help="finished, running, failed and missing runs; status 0 if all are finished"
    )
    config_arguments(status)
    status.add_argument(
        "--directory", type=Path, default=Path(), help="folder that Snakemake runs in (its --directory)"
    )
    status.add_argument("--all", action="store_true", help="list finished runs, too")
    status.set_defaults(run=show_status)
    plan = commands.add_parser(
        "plan",
        help="memory, hours and disk of a config's jobs, before any is submitted; status 1 if one does not fit the GPU",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    config_arguments(plan)
    plan.add_argument("--data", type=Path, help="folder of prepared rows (default: that of the config)")
    plan.add_argument("--gpu-memory-gb", type=positive, default=80, help="of one GPU (A100: 80)")
    plan.add_argument("--gpu-tflops", type=positive, default=312, help="its rate in bfloat16 (A100: 312)")
    plan.add_argument("--gpu-float32-tflops", type=positive, default=19.5, help="its rate in float32 (A100: 19.5)")
    plan.add_argument("--gpu-bandwidth-gb", type=positive, default=2039, help="GB a second of its memory (A100: 2039)")
    plan.add_argument("--share", type=positive, default=0.35, help="of these rates that is reached (assumed)")
    plan.set_defaults(run=show_plan)
    arguments = parser.parse_args()
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a config, as Snakemake has them."""
    default = REPOSITORY / "config" / "config.yaml"
    parser.add_argument("--configfile", type=Path, default=default, help="config file (default: config/config.yaml)")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="laid over it, as Snakemake does")


def config_of(arguments: argparse.Namespace) -> dict[str, object]:
    """The merged config: a file without `grid` is laid over config/config.yaml, and `--config` over both."""
    import yaml

    values = read_yaml(arguments.configfile)
    if "grid" not in values:
        values = merge(read_yaml(REPOSITORY / "config" / "config.yaml"), values)
    for text in arguments.config:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--config {text!r}: expected KEY=VALUE")
        values[key] = yaml.safe_load(value)
    return dict(values)


def write_docs(arguments: argparse.Namespace) -> int:
    """Write the generated files, or with --check only say which of them are out of date (exit status 1)."""
    from .runs.documentation import generated_files

    stale = 0
    for name, text in generated_files().items():
        path = arguments.root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not arguments.check:
            write_text(path, text)
        print(f"{name}: {'out of date' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


def write_results(arguments: argparse.Namespace) -> int:
    """Write the results that the repository tells of, or with --check compare a build with them (exit status 1: it differs)."""
    from .report.page import find_differences, read_results, write_page

    fresh = read_results(arguments.results)
    if not arguments.check:
        write_page(REPOSITORY, fresh)
        return 0
    shipped = read_results(REPOSITORY / "docs" / "results")
    faults, changed = find_differences(fresh, shipped, arguments.check == "exact")
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(shipped['means'])} means: {changed} differ, {len(faults)} faults")
    return 1 if faults else 0


def show_status(arguments: argparse.Namespace) -> int:
    """Print what stands of the config's runs; exit status 0 only if all are finished."""
    from .jobs.status import print_status
    from .runs.grid import open_grid

    config = load_config(config_of(arguments), arguments.configfile.name)
    return 0 if print_status(config, open_grid(config), arguments.all, arguments.directory) else 1


def positive(text: str) -> float:
    """A number above zero, for argparse."""
    if (value := float(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def show_plan(arguments: argparse.Namespace) -> int:
    """Print what the config costs; exit status 1 if a job does not fit the GPU."""
    from .planner.device import Device
    from .planner.table import describe_plan
    from .runs.grid import open_grid

    if arguments.share > 1:
        raise ConfigError(f"--share {arguments.share:g}: a share of the GPU's rate is at most 1")
    config = load_config(config_of(arguments), arguments.configfile.name)
    device = Device(
        arguments.gpu_memory_gb * 1e9,
        arguments.gpu_tflops * 1e12,
        arguments.gpu_float32_tflops * 1e12,
        arguments.gpu_bandwidth_gb * 1e9,
        arguments.share,
    )
    lines, faults = describe_plan(config, open_grid(config), arguments.data or Path(config.folder) / "data", device)
    print(*lines, sep="\n")
    print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
