"""The audit's config: every known discrepancy is run on two tasks or more, and differs from main in what its name says alone."""

from collections import defaultdict
from functools import cache

import pytest

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import load_config, read_yaml
from rl4nlu.report.names import DISCREPANCIES
from rl4nlu.runs.grid import Grid, open_grid

CHANGES = {
    "sst2-no": {"protocol.sst2_negative": "No"},
    "sst2-no-guessed": {"protocol.sst2_negative": "No", "protocol.parser": "lenient", "protocol.random_fallback": True},
    "integers": {"protocol.superglue_labels": "integers"},
    "integers-guessed": {
        "protocol.superglue_labels": "integers",
        "protocol.parser": "lenient",
        "protocol.random_fallback": True,
    },
    "random-fallback": {"protocol.random_fallback": True},
    "lenient-parser": {"protocol.parser": "lenient"},
    "no-stop": {"protocol.stop_at_tag": False},
    "other-prompt": {"protocol.sft_prompt": "separate"},
    "rewards-of-the-text": {"protocol.reward_table": "paper"},
    "cosine": {"protocol.schedule": "cosine"},
    "rank-stabilised": {"settings.lora.rslora": True},
    "biases": {"settings.lora.bias": "all"},
    "critic-gradients": {"settings.value_gradients": "released"},
    "dropout-in-logprobs": {"settings.dropout_in_logprobs": True, "settings.lora.dropout": 0.1},
    "first-step-clipping": {"settings.clipping": "first-step"},
    "averaging": {"settings.combination": "average"},
    "truncation": {"protocol.truncation": "proportional"},
}
"""By discrepancy, all that a run with it has otherwise than main's."""

ONE_TASK = {"sst2-no", "sst2-no-guessed"}
"""Discrepancies of one task's labels."""


@cache
def grid() -> Grid:
    return open_grid(load_config(read_yaml(REPOSITORY / "config" / "audit.yaml")))


def flat(values, prefix: str = "") -> dict[str, object]:
    """Nested settings by dotted key."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in flat(inner, f"{prefix}.{name}".strip(".")).items()
    }


def settings_of(address) -> dict[str, object]:
    spec = grid().runs[address].model_dump(mode="json", exclude={"variant", "model_spec", "eval_tasks", "train_tasks"})
    return flat(spec)


def by_variant(variant: str):
    return [address for address in grid().runs if address.variant == variant]


@pytest.mark.parametrize("variant", CHANGES)
def test_a_discrepancy_is_all_that_differs_from_main(variant):
    for address in by_variant(variant):
        main = settings_of(type(address)(address.model, address.method, address.mixture, "main", address.seed))
        own = settings_of(address)
        assert {key: own[key] for key in own if own[key] != main.get(key)} == CHANGES[variant], address.path


@pytest.mark.parametrize("variant", [*CHANGES, "released"])
def test_every_discrepancy_has_five_seeds_on_two_tasks_or_more(variant):
    seeds = defaultdict(set)
    for address in by_variant(variant):
        seeds[address.model, address.method, address.mixture].add(address.seed)
    assert all(found == {0, 1, 2, 3, 4} for found in seeds.values())
    assert len({mixture for _, _, mixture in seeds}) >= (1 if variant in ONE_TASK else 2)


def test_variants_of_the_audit_are_the_known_discrepancies():
    run = {address.variant for address in grid().runs} - {"main"}
    assert run == {*CHANGES, "released"} == set(DISCREPANCIES) - {"rllr-released"}
    assert list(load_config(read_yaml(REPOSITORY / "config" / "audit.yaml")).variants) == [
        name for name in DISCREPANCIES if name in run
    ]


def test_the_release_as_a_whole_keeps_rates_and_batches_alone():
    address = next(a for a in by_variant("released") if a.method == "ppo")
    main = settings_of(type(address)(address.model, address.method, address.mixture, "main", address.seed))
    own = settings_of(address)
    assert {key for key in own if own[key] == main[key] and key.startswith("settings.")} >= {
        "settings.prompts", "settings.batch_size", "settings.minibatch_size", "settings.learning_rates",
    }  # fmt: skip
    assert (own["settings.lora.bias"], own["settings.kl_coefficient"], own["protocol.stop_at_tag"]) == (
        "all",
        0.2,
        False,
    )
