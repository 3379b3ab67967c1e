"""PPO against the reward encoder: its rewards, what stays as it was, its counterpart, resuming."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from roll_outs import PROMPTS, RESPONSES, backbone_of, make_roll_out
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rl4nlu.base.checkpoint import NOT_SAVED, Checkpoint
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import METHODS, Lora, Model, PpoRm, load_config, load_models
from rl4nlu.methods import encoder
from rl4nlu.methods.ppo_rm import ppo_rationale, ppo_rm
from rl4nlu.methods.ppo_rm.ppo_rm import by_encoder
from rl4nlu.methods.ppo_rm.reward_encoder import load_reward_encoder
from rl4nlu.methods.rl import loop, ppo
from rl4nlu.methods.rl.policy import Policy, ValueHead
from rl4nlu.methods.rl.rewards import RunningMoments
from rl4nlu.methods.rl.rollout import Prompt
from rl4nlu.models.load import add_lora
from rl4nlu.planner.estimate import estimate_training
from rl4nlu.runs.grid import list_runs
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
ROWS = len(PROMPTS)
SETTINGS = PpoRm(prompts=ROWS, batch_size=ROWS, minibatch_size=ROWS, lora=Lora(rank=3))
TEXTS = [
    "The film is good. <Judgement> Positive </Judgement>", "<Judgement> Positive </Judgement>", "The film",
    " The film is bad. <Judgement> Negative </Judgement> ", "<Judgement> Negative </Judgement>", "bad <Judgement> Positive </Judgement>",
]  # fmt: skip
PLANNED = [
    Prompt(TASKS["sst2"], Row("r", {"sentence": f"film {n}"}, label), tokens)
    for n, (label, tokens) in enumerate(zip("101100", PROMPTS, strict=True))
]

ANSWERS = make_roll_out(PLANNED, RESPONSES, TEXTS)


@pytest.fixture
def reward_model(bert: Path, tmp_path: Path) -> Path:
    """Folder of a reward-encoder run, whose model is a random one."""
    model = encoder.with_head(Model(kind="encoder", path=str(bert)), 3, num_labels=1)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    model.save_pretrained(tmp_path / "reward" / "model")
    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(tmp_path / "reward" / "model")
    return tmp_path / "reward"


def policy_of() -> Policy:
    return Policy(add_lora(backbone_of("llama"), Lora(rank=3), 0).eval(), ValueHead(16))


def judge_of(folder: Path, moments: RunningMoments | None = None, **settings) -> loop.Reward:
    model, tokenizer = load_reward_encoder(folder)
    changed = SETTINGS.model_copy(update=settings)
    return by_encoder(model, tokenizer, changed, moments or RunningMoments())


def alone(folder: Path) -> list[float]:
    """Every response's score by plain transformers calls."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    asked = [f'Is this review positive or negative ? "film {n}"' for n in range(ROWS)]
    return [
        model(**tokenizer(question, text.strip(), return_tensors="pt")).logits.item()
        for question, text in zip(asked, TEXTS, strict=True)
    ]


def test_the_reward_is_the_encoders_score_by_plain_transformers_calls(reward_model: Path):
    expected = alone(reward_model)
    assert max(expected) - min(expected) > 0.01  # else the next lines could not fail
    for tokens in (64, 16384):  # however rows are cut into forward passes
        found = judge_of(reward_model, score_normalisation=False, micro_batch_tokens=tokens)(ANSWERS)
        assert found.scores == pytest.approx(expected, abs=1e-5)
    right = [0, 4]
    assert ANSWERS.right == [n in right for n in range(ROWS)]
    assert found.reward == pytest.approx(sum(expected) / ROWS, abs=1e-5)
    assert found.more["encoder_reward_right"] == pytest.approx(sum(expected[n] for n in right) / 2, abs=1e-5)


def test_scores_are_normalised_by_all_so_far(reward_model: Path):
    moments = RunningMoments()
    judge = judge_of(reward_model, moments)
    judge(ANSWERS)
    second = judge(ANSWERS)
    expected = RunningMoments()
    expected.normalise(alone(reward_model))
    assert second.scores == pytest.approx(expected.normalise(alone(reward_model)), abs=1e-4)
    assert moments.count == 2 * ROWS


def test_neither_the_encoder_nor_the_backbone_changes_by_a_bit(reward_model: Path):
    model, tokenizer = load_reward_encoder(reward_model)
    policy = policy_of()
    before = copy.deepcopy(model.state_dict())
    network = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    settings = SETTINGS.model_copy(update={"prompts": 2 * ROWS})
    reward = by_encoder(model, tokenizer, settings, RunningMoments())
    loop.optimise(policy, PLANNED * 2, lambda batch: ANSWERS, reward, settings, 1e-2, seed=0, objective=ppo.PPO)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    changed = {n for n, p in policy.model.named_parameters() if not torch.equal(p, network[n])}
    assert changed == {n for n in network if "lora" in n}


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(reward_model: Path, tmp_path: Path):
    settings = SETTINGS.model_copy(update={"prompts": 4 * ROWS, "evaluate_every": 1})

    def go(checkpoint: Checkpoint, scores: list[float]) -> list[torch.nn.Parameter]:
        policy, moments, given = policy_of(), RunningMoments(), iter(scores)
        reward = judge_of(reward_model, moments)
        loop.optimise(
            policy, PLANNED * 4, lambda batch: ANSWERS, reward, settings, 1e-2, seed=0, objective=ppo.PPO,
            validate=lambda: next(given), checkpoint=checkpoint, carried=[moments],
        )  # fmt: skip
        return policy.parameters()

    whole = go(NOT_SAVED, [1.0] * 4)
    with pytest.raises(StopIteration):  # the third validation never comes
        go(Checkpoint(tmp_path / "state", "d", every=0), [1.0] * 2)
    resumed = go(Checkpoint(tmp_path / "state", "d", every=0), [1.0] * 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


# The two arms ------------------------------------------------------------------------------------------------------


def spec_of(method: str, **values):
    config = load_config(values)
    return resolve(config, load_models(), TASKS, Address("micro-llama", method, "sst2", "main", 0))


@pytest.mark.parametrize(
    ("method", "module", "ruled"), [("ppo-rationale", ppo_rationale, True), ("ppo-rm", ppo_rm, False)]
)
def test_an_arm_has_its_own_reward_on_the_merged_backbone(
    reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, module: Any, ruled: bool
):
    given = {}
    assert METHODS[method].module == module.__name__.removeprefix("rl4nlu.")
    monkeypatch.setattr(ppo, "train", lambda spec, *_, **more: given.update(more, spec=spec) or {})
    monkeypatch.setattr(module, "build_policy", lambda spec: spec.model_spec.path)
    folders = {"backbone": tmp_path / "merged", "encoder": reward_model}
    module.train(spec_of(method), tmp_path, tmp_path / "out", folders)
    start = given["begin"]()
    assert start.policy == str(tmp_path / "merged" / "model")
    assert given["spec"].protocol.response == "rationale"
    assert (start.reward(ANSWERS).scores == [1, -1, -3, -1, 1, -1]) == ruled
    # what scores are normalised by is part of the saved state
    assert [type(one) for one in start.carried] == ([] if ruled else [RunningMoments])


def test_both_arms_have_the_same_settings_prompts_and_start():
    over = {"ppo_rm": {"prompts": 128, "epochs": 2}, "rationales": {"max_tokens": 40}}
    one, other = spec_of("ppo-rationale", **over), spec_of("ppo-rm", **over)
    assert one.settings == other.settings
    assert one.settings.max_new_tokens == 40
    assert (one.protocol, one.evaluation, one.train_tasks) == (other.protocol, other.evaluation, other.train_tasks)
    assert one.stands_on["backbone"] == other.stands_on["backbone"]
    assert METHODS[one.method].program == METHODS[other.method].program == "ppo_rm"
    assert (one.encoder_spec, other.encoder_spec) == (None, load_models()["micro-bert-base"])


def test_an_arm_brings_what_it_stands_on():
    config = load_config({"grid": [{"method": "ppo-rm", "models": ["micro-llama"], "mixtures": ["sst2"]}]})
    runs = list_runs(config, load_models(), TASKS)
    assert {a.method for a in runs} == {"ppo-rm", "reward-encoder", "merged-backbone", "sft-rationale"}
    assert {a.method for a, names in runs.items() if names} == {"ppo-rm", "sft-rationale"}


def test_another_encoder_is_another_run():
    base = spec_of("ppo-rm")
    assert spec_of("ppo-rm", reward_encoder={"encoder": "micro-bert-large"}).digest != base.digest
    variants = {"large": {"reward_encoder": {"encoder": "micro-bert-large"}}}
    config = load_config({"variants": variants})
    run = resolve(config, load_models(), TASKS, Address("micro-llama", "ppo-rm", "sst2", "large", 0))
    assert {role: path.split("/")[3] for role, path in run.stands_on.items()} == {
        "backbone": "main",
        "encoder": "large",
    }


def test_the_start_is_the_merged_model_and_no_other():
    with pytest.raises(ConfigError, match="start: must be base"):
        load_config({"ppo_rm": {"start": "sft"}})


def test_the_planner_counts_the_encoder(monkeypatch: pytest.MonkeyPatch):
    nowhere = Path("/nonexistent")
    label, learnt = (estimate_training(spec_of(method), nowhere) for method in ("ppo-rationale", "ppo-rm"))
    assert learnt.memory.weights > label.memory.weights
    assert learnt.work.flops > label.work.flops

    def flops(**settings) -> float:
        return estimate_training(spec_of("reward-encoder", reward_encoder=settings), nowhere).work.flops

    assert flops(rankings=12800) > flops()
    assert flops(replies=8) > flops()
    assert flops(encoder="micro-bert-large") > flops()
    unknown = spec_of("ppo-rm").model_copy(update={"encoder_spec": Model(kind="encoder", path="nobody/none")})
    assert estimate_training(unknown, nowhere) is None


def test_the_rules_of_both_arms_are_ppos(root: Path):
    text = (root / "workflow" / "rules" / "ppo_rm.smk").read_text()
    assert re.findall(r"use rule train_ppo as (\w+) with:", text) == ["train_ppo_rationale", "train_ppo_rm"]
