"""The resolver: layers of overrides, what a run's digest depends on, absent tasks."""

import pytest
from scenes import MODELS as SCENE_MODELS
from scenes import scenes, scenes_spec

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import METHODS, load_config, load_models, merge
from rl4nlu.runs.grid import available_tasks, list_runs, open_grid
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.parts.templates import TextPair
from rl4nlu.tasks.task import load_tasks

MODELS, TASKS = load_models(), load_tasks()
GRID = [
    {"method": "zero-shot", "models": ["micro-llama"]},
    {"method": "sft", "models": ["micro-llama"], "mixtures": ["mnli", "rte"], "seeds": [0, 1]},
    {"method": "ppo", "models": ["micro-llama"], "mixtures": ["sst2"], "variants": ["main", "from-sft"]},
]
BASE = {"grid": GRID, "variants": {"from-sft": {"ppo": {"start": "sft"}}}}
PPO = Address("micro-llama", "ppo", "sst2", "main", 0)


def spec(address=PPO, **over):
    return resolve(load_config(merge(BASE, over)), MODELS, TASKS, address)


def test_the_grid_is_the_product_of_its_arms_and_brings_what_runs_start_from():
    runs = list_runs(load_config(BASE), MODELS, TASKS)
    assert len(runs) == 1 + 4 + 2 + 1
    assert runs[Address("micro-llama", "zero-shot", "none", "main", 0)] == list(TASKS)
    assert Address("micro-llama", "sft", "sst2", "main", 0) in runs


def test_a_run_is_scored_on_the_tasks_that_follow_its_own():
    runs = list_runs(load_config(BASE), MODELS, TASKS)
    assert set(runs[Address("micro-llama", "sft", "mnli", "main", 0)]) == {"mnli", "mnli-mm", "ax"}
    assert set(runs[Address("micro-llama", "sft", "rte", "main", 1)]) == {"rte", "superglue-rte", "axb", "axg"}


def test_overrides_are_laid_over_each_other_in_the_stated_order():
    over = {
        "ppo": {"epochs": 2, "gamma": 0.9, "lora": {"rank": 4, "alpha": 8}},
        "models": {"micro-llama": {"ppo": {"epochs": 3, "lora": {"rank": 5}}}},
        "mixtures": {"sst2": {"ppo": {"epochs": 5, "clip_range": 0.3}}},
        "variants": {"hot": {"ppo": {"epochs": 7}}},
    }
    main, hot = spec(**over), spec(Address("micro-llama", "ppo", "sst2", "hot", 0), **over)
    assert (main.settings.epochs, hot.settings.epochs) == (5, 7)
    assert (main.settings.gamma, main.settings.clip_range) == (0.9, 0.3)
    assert (main.settings.lora.rank, main.settings.lora.alpha) == (5, 8)


def test_a_wrong_override_names_its_layer():
    with pytest.raises(ConfigError, match=r"mixtures\.sst2: ppo: .*clip_rang: unknown key - did you mean 'clip_range'"):
        spec(mixtures={"sst2": {"ppo": {"clip_rang": 1}}})


@pytest.mark.parametrize(
    ("over", "trains_again"),
    [
        ({"ppo": {"epochs": 2}}, True),
        ({"protocol": {"reward_table": "paper"}}, True),
        ({"data": {"train_rows": 9}}, True),
        ({"threads": 2}, True),
        ({"bits": "fast"}, True),
        ({"sft": {"prompts": 9}}, False),
        ({"protocol": {"parser": "lenient"}}, False),
        ({"protocol": {"random_fallback": True}}, False),
        ({"evaluation": {"bootstrap": 9}}, False),
        ({"data_root": "elsewhere"}, False),
        ({"note": "other words"}, False),
    ],
)
def test_a_digest_changes_with_what_training_reads_and_nothing_else(over, trains_again):
    assert (spec(**over).digest != spec().digest) == trains_again


TRAINS, ANSWERS, SCORES = "trains", "answers", "scores"


def touched(before, after) -> str | None:
    """The first step that a change of a run does again; the others follow it."""
    digests = ((TRAINS, "digest"), (ANSWERS, "answers_digest"), (SCORES, "evaluation_digest"))
    return next((step for step, name in digests if getattr(before, name) != getattr(after, name)), None)


@pytest.mark.parametrize(
    ("key", "value", "decoder", "encoder"),
    [
        ("note", "other words", None, None),
        ("title", "Another", None, None),
        ("column", 7, None, None),
        ("chance", True, None, None),
        ("in_average", False, None, None),
        ("reported", ["accuracy"], None, None),
        ("carve_by", "sentence", SCORES, SCORES),
        ("source", "hub", None, None),
        ("metrics", ["accuracy", "f1"], SCORES, SCORES),
        ("metrics", ["f1"], TRAINS, TRAINS),
        ("labels", {"1": "good", "0": "bad"}, TRAINS, TRAINS),
        ("description", "other words", TRAINS, None),
        ("query", "{sentence} ?", TRAINS, None),
        ("shorten", "sentence", TRAINS, None),
        ("pair", TextPair(text_a="{sentence} ?"), None, TRAINS),
    ],
)
def test_a_key_of_a_task_touches_what_reads_it(key, value, decoder, encoder):
    changed = {**TASKS, "sst2": TASKS["sst2"].model_copy(update={key: value})}
    for method, model, step in (("ppo", "micro-llama", decoder), ("encoder", "micro-bert-base", encoder)):
        address = Address(model, method, "sst2", "main", 0)
        before, after = (resolve(load_config(BASE), MODELS, tasks, address) for tasks in (TASKS, changed))
        assert touched(before, after) == step


@pytest.mark.parametrize(
    ("key", "value", "step"),
    [("title", "Another", None), ("table", "other", None), ("dtype", "bfloat16", TRAINS), ("max_length", 99, TRAINS)],
)
def test_a_key_of_a_model_touches_what_reads_it(key, value, step):
    changed = {**MODELS, "micro-llama": MODELS["micro-llama"].model_copy(update={key: value})}
    before, after = (resolve(load_config(BASE), models, TASKS, PPO) for models in (MODELS, changed))
    assert touched(before, after) == step


@pytest.mark.parametrize(
    ("over", "step"),
    [
        ({"evaluation": {"bootstrap": 9}}, SCORES),
        ({"evaluation": {"decoding": {"how": "sample"}}}, ANSWERS),
        ({"evaluation": {"decoding": {"max_new_tokens": 9}}}, TRAINS),
        ({"data": {"test_rows": 9}}, ANSWERS),
        ({"data": {"validation_rows": 9}}, TRAINS),
        ({"data": {"skip_absent": True}}, None),
        ({"note": "other words"}, None),
    ],
)
def test_a_key_of_the_config_touches_what_reads_it(over, step):
    assert touched(spec(), spec(**over)) == step


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"method": "sft", "models": ["micro-lama"], "mixtures": ["rte"]}, "did you mean 'micro-llama'"),
        ({"method": "sft", "models": ["micro-llama"], "mixtures": ["rtee"]}, "did you mean 'rte'"),
        ({"method": "sft", "models": ["micro-llama"], "mixtures": ["axb"]}, "train on 'rte' instead"),
        ({"method": "sft", "models": ["micro-bert-base"], "mixtures": ["rte"]}, "whose kind is encoder"),
        ({"method": "ppo", "models": ["micro-llama"], "mixtures": ["rte"], "variants": ["from-sf"]}, "from-sft"),
    ],
)
def test_what_does_not_fit_in_the_grid_is_named(arm, said):
    with pytest.raises(ConfigError, match=said):
        list_runs(load_config(merge(BASE, {"grid": [arm]})), MODELS, TASKS)


def test_files_that_are_absent_stop_or_are_skipped_with_their_followers(tmp_path):
    values = {"source": "local", "data_root": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"no file .* \(data\.skip_absent: true"):
        available_tasks(load_config({"data": values}).data, TASKS)
    local = TASKS["rte"].sources.local
    for name in (local.train, local.test):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    present, absent = available_tasks(load_config({"data": {**values, "skip_absent": True}}).data, TASKS)
    assert list(present) == ["rte"]
    assert "mnli-mm" in absent
    grid = open_grid(load_config({"data": {**values, "skip_absent": True}, "grid": GRID[1:2]}))
    assert {address.mixture for address in grid.runs} == {"rte"}


def test_local_rows_need_a_folder():
    with pytest.raises(ConfigError, match="data_root"):
        available_tasks(load_config({"data": {"source": "local"}}).data, TASKS)


# The second paper's chain ------------------------------------------------------------------------------------------

RLLR = {
    "grid": [
        {"method": "rllr-mixed", "models": ["micro-llama"], "mixtures": ["sst2"], "variants": ["main", "tau", "other"]}
    ],
    "variants": {"tau": {"rllr": {"threshold": 1.0}}, "other": {"pairs": {"replies": 3}}},
    "rationales": {"max_tokens": 40},
}


def test_an_arm_brings_the_chain_that_it_stands_on():
    runs = list_runs(load_config(RLLR), MODELS, TASKS)
    methods = [address.method for address in runs if address.variant == "main"]
    assert sorted(methods) == [
        "merged-backbone", "pairs", "reward-label", "reward-rationale", "rllr-mixed", "sft-rationale"
    ]  # fmt: skip
    scored = {address.method for address, names in runs.items() if names}
    assert scored == {"sft-rationale", "rllr-mixed"}


def test_a_variant_has_a_chain_of_its_own_from_what_it_changes_on():
    def stands_on(variant):
        run = resolve(load_config(RLLR), MODELS, TASKS, Address("micro-llama", "rllr-mixed", "sst2", variant, 0))
        return {role: Address.parse(path).variant for role, path in run.stands_on.items()}

    assert stands_on("tau") == {"backbone": "main", "label": "main", "rationale": "main"}
    assert stands_on("other") == {"backbone": "main", "label": "other", "rationale": "other"}


# Learning rates --------------------------------------------------------------------------------------------------------

TWO = {"learning_rates": [1e-3, 3e-3]}


def foundations(method, seed, **values):
    """What a run of the second paper's chain stands on, by role: method and seed."""
    run = resolve(load_config(values), MODELS, TASKS, Address("micro-llama", method, "sst2", "main", seed))
    found = {role: Address.parse(path) for role, path in run.foundations.items()}
    assert {(a.model, a.mixture, a.variant) for a in found.values()} <= {("micro-llama", "sst2", "main")}
    return {role: (a.method, a.seed) for role, a in found.items()}


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.learns])
def test_other_seeds_take_the_learning_rate_of_the_tuning_seed_where_there_is_a_choice(method):
    section = METHODS[method].section
    own = foundations(method, 1)
    assert "learning_rate" not in own
    assert foundations(method, 1, tuning_seed=0, **{section: TWO}) == {**own, "learning_rate": (method, 0)}
    assert foundations(method, 0, tuning_seed=1, **{section: TWO})["learning_rate"] == (method, 1)
    assert foundations(method, 1, tuning_seed=1, **{section: TWO}) == own
    assert foundations(method, 1, tuning_seed=0, **{section: {"learning_rates": [1e-3]}}) == own
    assert foundations(method, 1, **{section: TWO}) == own


def test_what_learns_nothing_takes_no_learning_rate():
    assert foundations("merged-backbone", 1, tuning_seed=0, sft_rationale=TWO) == {"adapter": ("sft-rationale", 1)}


def test_an_arm_brings_the_run_that_chooses_and_what_that_stands_on():
    arms = [
        {"method": "sft", "models": ["micro-llama"], "mixtures": ["sst2"], "seeds": [1, 2]},
        {"method": "rllr", "models": ["micro-llama"], "mixtures": ["sst2"], "seeds": [3]},
    ]
    runs = list_runs(load_config({"grid": arms, "tuning_seed": 0, "sft": TWO, "rllr": TWO}), MODELS, TASKS)
    seeds: dict[str, list[int]] = {}
    for address in runs:
        seeds.setdefault(address.method, []).append(address.seed)
    chain = ("sft-rationale", "merged-backbone", "pairs", "reward-label", "rllr")
    assert {method: sorted(found) for method, found in seeds.items()} == {
        "sft": [0, 1, 2],
        **{method: [0, 3] for method in chain},
    }


def test_responses_with_a_rationale_have_room_for_it():
    for method in ("sft-rationale", "rllr", "sft"):
        run = resolve(load_config(RLLR), MODELS, TASKS, Address("micro-llama", method, "sst2", "main", 0))
        own = method != "sft"
        assert run.protocol.response == ("rationale" if own else "label")
        assert run.evaluation.decoding.max_new_tokens == (40 if own else 12)
        if method == "rllr":
            assert run.settings.max_new_tokens == 40
            assert run.model_dump()["settings"]["combination"] == "capped"


def test_a_run_is_another_one_on_another_chain():
    one, other = (
        resolve(load_config(RLLR), MODELS, TASKS, Address("micro-llama", "reward-label", "sst2", variant, 0))
        for variant in ("main", "other")
    )
    assert one.model_copy(update={"variant": "other"}).digest != other.digest


def test_the_released_critic_needs_adapters_of_one_kind_and_says_so_before_any_job():
    run = Address("micro-llama", "rllr", "rllr-sst2", "released", 0)
    large = {"targets": "all-linear", "rank": 32}

    def released(policy, **more):
        variants = {"released": {"rllr": {"value_gradients": "released", "lora": policy, **more}}}
        return spec(run, reward_model={"lora": large}, variants=variants)

    with pytest.raises(
        ConfigError,
        match=r"rank 16, targets default\) must be .* reward_model.lora \(rank 32, targets all-linear",
    ):
        released({})
    with pytest.raises(ConfigError, match=r"dropout 0.1\) must be .* dropout 0.0\)"):
        released({**large, "dropout": 0.1}, dropout_in_logprobs=True)
    assert released(large).settings.lora.rank == 32


# A user's own reward -----------------------------------------------------------------------------------------------

RL = ("ppo", "grpo", "ppo-rationale")
OTHERS = ("sft", "rlhf", "ppo-rm", "reward-encoder")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file of a reward, found by PYTHONPATH, and the tasks, of which sst2 names it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "mine.py").write_text("def f(rows, texts, readings):\n    return [1.0 for row in rows]\n")
    return tmp_path / "mine.py", {**TASKS, "sst2": TASKS["sst2"].model_copy(update={"reward": "mine:f"})}


def specs(tasks, methods, **values):
    config = load_config(values)
    return [resolve(config, MODELS, tasks, Address("micro-llama", m, "sst2", "main", 0)) for m in methods]


def test_a_task_names_its_reward_and_only_what_it_judges_follows_it(mine):
    file, tasks = mine
    before = specs(tasks, (*RL, *OTHERS))
    assert [spec.rules for spec in before] == [{"sst2": "mine:f"}] * len(RL) + [{}] * len(OTHERS)
    file.write_text(file.read_text().replace("1.0", "2.0"))
    after = specs(tasks, (*RL, *OTHERS))
    assert [touched(*pair) for pair in zip(before, after, strict=True)] == [TRAINS] * len(RL) + [None] * len(OTHERS)
    plain = specs(TASKS, (*RL, *OTHERS))
    assert [touched(*pair) for pair in zip(plain, after, strict=True)] == [TRAINS] * len(RL) + [None] * len(OTHERS)


def test_a_section_names_the_reward_of_all_of_its_tasks(mine):
    _, tasks = mine
    example = "config.example_reward:length_penalised"
    ppo, grpo = specs(tasks, ("ppo", "grpo"), ppo={"reward": example})
    assert (ppo.rules, list(ppo.rule_files), ppo.reward_key(tasks["sst2"])) == (
        {"sst2": example},
        [example],
        "ppo.reward",
    )
    assert (grpo.rules, grpo.reward_key(tasks["sst2"])) == ({"sst2": "mine:f"}, "glue/sst2.yaml: reward")


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"ppo": {"reward": "mine.py"}}, r"ppo\.reward: must be module:function.*found \"mine\.py\""),
        ({"ppo": {"reward": "yours:f"}}, r"config: run micro-llama/ppo/sst2/main/seed0: ppo\.reward: yours:f: no file yours\.py"),
        ({"rllr": {"reward": "mine:f"}}, r"reward models judge these runs"),
        ({"ppo_rm": {"reward": "mine:f"}}, r"name it in the task's file"),
    ],
)  # fmt: skip
def test_a_reward_that_cannot_be_is_one_message(mine, over, message):
    with pytest.raises(ConfigError, match=message):
        specs(TASKS, ["ppo"], name="config", **over)


def test_a_tasks_faulty_reward_names_its_file(mine):
    file, tasks = mine
    file.write_text("def f(texts): ...")
    with pytest.raises(ConfigError, match=r"glue/sst2\.yaml: reward: mine:f takes \(texts\)"):
        specs(tasks, ["ppo"])
    assert specs(tasks, ["sft"])


def test_no_method_trains_in_float16():
    models = {"micro-llama": MODELS["micro-llama"].model_copy(update={"dtype": "float16"})}
    with pytest.raises(
        ConfigError, match=r"ppo/sst2/main/seed0: dtype of model micro-llama is float16.*bfloat16 or float32"
    ):
        resolve(load_config(BASE), models, TASKS, PPO)
    resolve(load_config(BASE), models, TASKS, Address("micro-llama", "zero-shot", "none", "main", 0))


# Guides -----------------------------------------------------------------------------------------------------------------


def guided(method="ppo++", model="micro-llama", **over):
    return spec(Address(model, method, "sst2", "main", 3), **over)


def test_a_run_starts_from_the_sft_run_that_answers_as_it_does():
    started = {"ppo": {"start": "sft"}, "rlgf": {"start": "sft"}}
    for address in (PPO, Address("micro-llama", "lols", "sst2", "main", 0)):
        assert spec(address, **started).start == "micro-llama/sft/sst2/main/seed0"
        reasons = spec(address, **started, protocol={"response": "rationale"})
        assert reasons.start == "micro-llama/sft-rationale/sst2/main/seed0"


def test_another_model_guides_with_the_adapter_of_its_sft_run():
    more = {"variants": {"more": {"sft": {"prompts": 6400}}}}
    run = guided(rlgf={"guide": "model", "guide_model": "micro-mpt", "guide_sft": "more"}, **more)
    assert (run.guide_spec, run.guide_name) == (MODELS["micro-mpt"], "micro-mpt")
    assert run.stands_on == {"guide": "micro-mpt/sft/sst2/more/seed3"}
    own = guided(rlgf={"guide": "model", "guide_sft": "more"}, protocol={"response": "rationale"}, **more)
    assert own.stands_on == {"guide": "micro-llama/sft-rationale/sst2/more/seed3"}
    assert guided(rlgf={"guide": "model", "guide_model": "micro-mpt"}).stands_on == {}
    assert guided().guide_spec is None
    runs = list_runs(
        load_config(
            merge(BASE, more)
            | {
                "rlgf": {"guide": "model", "guide_sft": "more"},
                "grid": [{"method": "lols", "models": ["micro-llama"], "mixtures": ["sst2"]}],
            }
        ),
        MODELS,
        TASKS,
    )
    assert Address("micro-llama", "sft", "sst2", "more", 0) in runs


def test_what_guides_is_part_of_what_names_a_run():
    digests = {
        guided(rlgf=rlgf).digest
        for rlgf in ({}, {"guide": "references"}, {"guide": "model", "guide_model": "micro-mpt"}, {"roll_in": 0.5})
    }
    assert len(digests) == 4


@pytest.mark.parametrize("method", ["aggrevated", "lols", "d2lols"])
def test_references_go_on_with_nothing_that_a_policy_began(method):
    guided("ppo++", rlgf={"guide": "references"})
    with pytest.raises(ConfigError, match=rf"{method}/sst2/main/seed3: rlgf\.guide: references go on with nothing"):
        guided(method, rlgf={"guide": "references"})


@pytest.mark.parametrize(("rlgf", "message"), [
    ({"guide": "model"}, "guide: model needs guide_model"),
    ({"guide": "endpoint"}, "guide: endpoint needs guide_endpoint"),
    ({"lora": {"bias": "all"}}, "whose biases must not learn; set lora.bias to none"),
    ({"guide": "model", "guide_model": "micro-lama"}, r"rlgf\.guide_model: unknown name 'micro-lama'.*'micro-llama'"),
    ({"guide": "model", "guide_model": "micro-bert-base"}, r"rlgf\.guide_model: unknown name 'micro-bert-base'"),
    ({"guide": "model", "guide_sft": "from-stf"}, r"rlgf\.guide_sft: unknown name 'from-stf'.*'from-sft'"),
    ({"roll_in": 1.2}, r"rlgf\.roll_in: .*less than or equal to 1"),
])  # fmt: skip
def test_a_guide_that_cannot_be_is_refused_with_one_message(rlgf, message):
    with pytest.raises(ConfigError, match=message):
        guided(rlgf=rlgf)


def test_gold_answers_are_read_where_they_are_learnt_or_guide():
    reason = {"protocol": {"response": "rationale"}}
    reads = [
        guided(),
        guided(rlgf={"supervised_coefficient": 0.1}),
        guided(rlgf={"guide": "references"}, **reason),
        guided(**reason),
        spec(ppo={"supervised_coefficient": 0.1}, **reason),
    ]
    assert [run.reads_gold for run in reads] == [False, True, True, False, True]
    assert [run.reads_rationales for run in reads] == [False, False, True, False, True]


@pytest.mark.parametrize(
    "method", ["majority", "encoder", "sft-rationale", "pairs", "reward-encoder", "ppo-rm", "rllr"]
)
def test_a_method_that_needs_labels_refuses_texts(method):
    with pytest.raises(
        ConfigError,
        match=rf"task scenes answers with texts, and method {method} needs labels\. Allowed: random, zero-shot",
    ):
        scenes_spec(method, reward_encoder={"encoder": "tiny-bert"})


def test_texts_have_no_rationales():
    with pytest.raises(ConfigError, match=r"protocol\.response is rationale, a reason before a label, and task scenes"):
        scenes_spec("ppo", protocol={"response": "rationale"})


def test_a_judge_is_named_where_something_hangs_on_it():
    for task, asks in ((scenes(reward="judge"), "reward"), (scenes(metrics=["judge"]), "first metric")):
        with pytest.raises(
            ConfigError, match=rf"the {asks} of task scenes is a judge's, and none is named; set judges"
        ):
            scenes_spec("ppo", task)
    with pytest.raises(ConfigError, match="the first metric of task scenes"):  # demonstrations are chosen by it
        scenes_spec("few-shot", scenes(metrics=["judge"]))
    assert scenes_spec("zero-shot", scenes(metrics=["judge"])).judges == {}
    assert scenes_spec("ppo", scenes(metrics=["rouge-l", "judge"])).judges == {}
    with pytest.raises(ConfigError, match=r"judges\.scenes: unknown name 'vaader' - did you mean 'vader'"):
        scenes_spec("ppo", judges={"scenes": "vaader"})
    with pytest.raises(ConfigError, match=r"judges\.scenes: unknown name 'tiny'"):  # no classifier
        scenes_spec("ppo", judges={"scenes": "tiny"})


def test_majority_leaves_texts_out_where_all_tasks_are_meant():
    tasks = {"scenes": scenes(), "sst2": TASKS["sst2"]}
    grid = [{"method": method, "models": ["tiny"]} for method in ("majority", "random")]
    runs = list_runs(load_config({"grid": grid}), SCENE_MODELS, tasks)
    assert {address.method: names for address, names in runs.items()} == {
        "majority": ["sst2"],
        "random": ["scenes", "sst2"],
    }
    with pytest.raises(ConfigError, match="judges: unknown name 'scene' - did you mean 'scenes'"):
        list_runs(load_config({"grid": grid, "judges": {"scene": "vader"}}), SCENE_MODELS, tasks)
    with pytest.raises(ConfigError, match="method random does not fit vader, whose kind is classifier"):
        list_runs(load_config({"grid": [{"method": "random", "models": ["vader"]}]}), SCENE_MODELS, tasks)


@pytest.mark.parametrize(
    ("task", "judges", "step"),
    [
        ({"metrics": ["rouge-l", "bleu-4", "judge"]}, {}, ANSWERS),  # a judge is asked when rows are answered
        ({"metrics": ["rouge-l", "bleu-4", "cider"]}, {}, SCORES),
        ({"metrics": ["bleu-4", "rouge-l"]}, {}, TRAINS),
        ({"most_tokens": 9}, {}, TRAINS),
        ({"judge": {"title": "Other", "text_a": "{prompt} {answer}"}}, {}, None),
        ({}, {"scenes": "vader"}, None),  # of which nothing is asked
        ({"reward": "judge"}, {"scenes": "vader"}, TRAINS),
    ],
)
def test_a_key_of_a_task_of_texts_touches_what_reads_it(task, judges, step):
    before = scenes_spec("ppo", scenes(metrics=["rouge-l", "bleu-4"]))
    after = scenes_spec("ppo", scenes(**{"metrics": ["rouge-l", "bleu-4"], **task}), judges=judges)
    assert touched(before, after) == step


def test_another_judge_is_asked_again_or_trains_again():
    other = SCENE_MODELS["vader"].model_copy(update={"score": "logit"})
    for task, step in ((scenes(metrics=["rouge-l", "judge"]), ANSWERS), (scenes(reward="judge"), TRAINS)):
        before = scenes_spec("ppo", task, judges={"scenes": "vader"})
        assert touched(before, before.model_copy(update={"judges": {"scenes": other}})) == step
