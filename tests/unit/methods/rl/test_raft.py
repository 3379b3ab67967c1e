"""RAFT: which answers are kept, one update by brute force, nothing kept changes nothing, that it learns, whole runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SCORES, backbone_of, learn_bandit

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import METHODS, Config, Data, Lora, Model, check
from rl4nlu.config.rl import Raft
from rl4nlu.methods.rl import raft
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.policy import Policy
from rl4nlu.methods.rl.update import update
from rl4nlu.models.load import add_lora, load_adapter, load_backbone
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.prepare import prepare
from rl4nlu.tasks.task import load_task, load_tasks

SETTINGS = Raft(prompts=3, batch_size=3, group_size=2, minibatch_size=6, epochs=2, max_grad_norm=None)


def policy_of(architecture: str) -> Policy:
    """A policy without a value head, moved away from its reference."""
    policy = Policy(add_lora(backbone_of(architecture, torch.float64), Lora(rank=3), 0).double().eval(), None)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def test_the_best_answer_to_a_prompt_is_kept_the_first_of_equals_and_only_above_the_bound() -> None:
    scores = [1.0, 1.0, -1.0, 1.0, -1.0, -3.0, 0.5, 0.0]
    assert raft.select_best(scores, Raft(group_size=2)) == [0, 3, 6]
    assert raft.select_best(scores, Raft(group_size=4)) == [0, 6]
    assert raft.select_best(scores, Raft(group_size=2, reward_above=0.5)) == [0, 3]
    assert raft.select_best(scores, Raft(group_size=2, reward_above=-2)) == [0, 3, 4, 6]
    assert raft.select_best([0.0, -1.0], Raft(group_size=2)) == []


def one_update(policy: Policy, scores: list[float], settings: Raft) -> dict[str, torch.Tensor]:
    """Plain gradient descent on one roll-out; what `update` measured."""
    experience, first = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, scores, 0.0, settings, raft.RAFT)
    optimiser = torch.optim.SGD(policy.parameters(), lr=0.5)
    return update(policy, optimiser, experience, settings, torch.Generator().manual_seed(0), raft.RAFT, first)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("micro", [None, 2])
def test_an_update_is_the_cross_entropy_of_the_kept_answers_over_their_tokens(architecture, micro) -> None:
    """By plain loops: full logits, no cache; of the pairs of answers the rows 0, 3 and 4 are kept."""
    ours, plain = policy_of(architecture), policy_of(architecture)
    assert SCORES == [1.0, -1.0, -3.0, 1.0, 1.0, -1.0]
    found = one_update(ours, SCORES, SETTINGS.model_copy(update={"micro_batch_size": micro}))
    optimiser, losses = torch.optim.SGD(plain.parameters(), lr=0.5), []
    for _ in range(2):
        terms = []
        for row in (0, 3, 4):
            logits = plain.model(input_ids=torch.tensor([PROMPTS[row] + RESPONSES[row]])).logits[0]
            for place, token in enumerate(RESPONSES[row], start=len(PROMPTS[row]) - 1):
                terms.append(torch.nn.functional.cross_entropy(logits[place], torch.tensor(token)))
        loss = sum(terms) / (3 + 2 + 3)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert found["loss"].item() == pytest.approx(sum(losses) / 2, rel=1e-6)
    for mine, theirs, old in zip(
        ours.parameters(), plain.parameters(), policy_of(architecture).parameters(), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-6)
        assert not torch.allclose(mine, old, atol=1e-4)


def test_where_nothing_is_kept_nothing_changes() -> None:
    policy = policy_of("llama")
    before = [p.detach().clone() for p in policy.parameters()]
    assert one_update(policy, [-1.0] * 6, SETTINGS) == {}
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_a_minibatch_without_a_kept_answer_makes_no_step_and_the_others_do() -> None:
    """With minibatches of one answer only the kept one's makes a step."""
    settings = SETTINGS.model_copy(update={"minibatch_size": 1, "epochs": 1})
    ours, plain = policy_of("llama"), policy_of("llama")
    found = one_update(ours, [-1.0, -1.0, -1.0, 1.0, -1.0, -1.0], settings)
    assert found["loss"].isfinite()
    logits = plain.model(input_ids=torch.tensor([PROMPTS[3] + RESPONSES[3]])).logits[0, len(PROMPTS[3]) - 1 : -1]
    torch.nn.functional.cross_entropy(logits, torch.tensor(RESPONSES[3])).backward()
    torch.optim.SGD(plain.parameters(), lr=0.5).step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))


def test_a_rule_is_learned() -> None:
    settings = Raft(prompts=80, batch_size=4, group_size=8, minibatch_size=32)
    history = learn_bandit(None, settings, raft.RAFT)
    assert history[0]["reward"] < -0.4
    assert history[-1]["reward"] > 0.6
    assert history[-1]["learnt"] == 4


def spec_of(place: Path, **settings: object):
    values = {"prompts": 12, "batch_size": 4, "group_size": 2, "minibatch_size": 4, "epochs": 2, "max_new_tokens": 3}
    config = Config(raft=Raft.model_validate(values | {"lora": {"rank": 2}, "reward_above": -5} | settings))
    model = Model(kind="decoder", path=str(place / "model"))
    return resolve(config, {"tiny": model}, load_tasks(), Address("tiny", "raft", "sst2", "main", 1))


def test_a_run_learns_one_answer_a_prompt_and_saves_an_adapter(place, tmp_path):
    facts = raft.train(spec_of(place), place / "data", tmp_path)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(row["prompts"], row["learnt"]) for row in history] == [(4, 4), (8, 4), (12, 4)]
    assert {k: facts[k] for k in ("optimiser_steps", "prompts_seen")} == {"optimiser_steps": 12, "prompts_seen": 12}
    assert facts["tokens_answered"] < 2 * facts["tokens_generated"]  # two passes over half of the answers
    assert {key for key in history[0] if "value" in key or "ratio" in key} == set()
    load_adapter(load_backbone(spec_of(place).model_spec), tmp_path / "adapter")


def test_a_run_that_keeps_nothing_ends_where_it_began(place, tmp_path):
    raft.train(spec_of(place, reward_above=1), place / "data", tmp_path)  # the greatest that there is
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(row["learnt"], row["kl"], row.get("loss")) for row in history] == [(0, 0, None)] * 3


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(place, tmp_path, how):
    spec = spec_of(place, prompts=20, learning_rates=[3e-3, 1e-2], evaluate_every=2)

    def train(checkpoint):
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return raft.train(spec, place / "data", tmp_path / "stopped", checkpoint=checkpoint)

    undisturbed = raft.train(spec, place / "data", tmp_path / "whole")
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 3, 3))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "adapter" / "adapter_model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_its_program_trains_a_run_and_leaves_its_record(tmp_path, root):
    rows = {"source": "microworld", "train_rows": 30, "validation_rows": 5, "test_rows": 5}
    prepare(load_task("sst2"), Data(**rows), tmp_path / "data" / "sst2")
    settings = {"prompts": 8, "batch_size": 4, "minibatch_size": 8, "group_size": 2, "epochs": 1, "reward_above": -5}
    (tmp_path / "config.yaml").write_text(json.dumps({"name": "tiny", "data": rows, "raft": settings}))
    run = "micro-llama/raft/sst2/main/seed0"
    given = {"config": tmp_path / "config.yaml", "run": run, "data": tmp_path / "data", "work": tmp_path / "work"}
    command = [sys.executable, str(root / "workflow" / "scripts" / "raft.py"), "--out", str(tmp_path / "results" / run)]
    command += [str(part) for name, value in given.items() for part in (f"--{name}", value)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root / "src")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "results" / run / "run.json").read_text())
    assert record["run"] == run
    assert (record["facts"]["prompts_seen"], record["facts"]["optimiser_steps"]) == (8, 2)
    assert (tmp_path / "results" / run / "adapter" / "adapter_config.json").is_file()


def test_settings_that_raft_has_no_use_for_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"raft: clip_range: unknown key"):
        check(Raft, {"clip_range": 0.1}, "raft")
    with pytest.raises(ConfigError, match=r"raft: kl_coefficient"):
        check(Raft, {"kl_coefficient": 0.1}, "raft")


def test_its_budget_in_the_default_config_is_ppos(root: Path) -> None:
    """As many answers and as many optimiser steps."""
    from rl4nlu.config import load_config, read_yaml

    config = load_config(read_yaml(root / "config" / "config.yaml"))
    budgets = []
    for settings in (config.ppo, config.raft):  # type: ignore[attr-defined]
        answers = settings.prompts * settings.answers
        budgets.append((answers, answers // settings.minibatch_size * settings.epochs))
    assert budgets[0] == budgets[1] == (800, 100)
    assert METHODS["raft"].against == ("sft", "ppo")
