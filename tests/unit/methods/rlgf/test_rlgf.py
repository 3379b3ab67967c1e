"""Whole runs with a guide: without roll-ins they are PPO's, stopped and resumed they are the undisturbed, and the guide stays what it is."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from guided import SETTINGS, prompts_of, sampler_of, spec_of
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from scenes import scenes, write_scenes
from tiny_models import byte_tokenizer, tiny_decoder

from rl4nlu.config import METHODS, Data, Model, load_config
from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.update import make_optimiser, update
from rl4nlu.methods.rlgf import guides, rlgf
from rl4nlu.methods.rlgf.guides import open_guide
from rl4nlu.methods.rlgf.roll_in import SharedRollOuts
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.prepare import prepare
from rl4nlu.tasks.task import load_task

GUIDED = [name for name, method in METHODS.items() if method.section == "rlgf"]


def weights_in(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("more", [{}, {"top_p": 0.9, "supervised_coefficient": 0.1}])
def test_ppo_pp_without_roll_ins_is_ppo_to_the_bit(place, tmp_path, more):
    ppo.train(spec_of(place, "ppo", **more), place / "data", tmp_path / "ppo")
    rlgf.train(spec_of(place, "ppo++", roll_in=0, **more), place / "data", tmp_path / "guided")
    plain, guided = (lines_of(tmp_path / name / "history.jsonl") for name in ("ppo", "guided"))
    assert [{key: row[key] for key in theirs} for row, theirs in zip(guided, plain, strict=True)] == plain
    assert [row["tokens_guided"] for row in guided] == [0, 0, 0]
    assert weights_in(tmp_path / "ppo") == weights_in(tmp_path / "guided")
    rlgf.train(spec_of(place, "ppo++", roll_in=1, **more), place / "data", tmp_path / "other")
    assert weights_in(tmp_path / "ppo") != weights_in(tmp_path / "other")


def test_the_four_are_the_methods_of_one_section():
    assert GUIDED == ["ppo++", "aggrevated", "lols", "d2lols"]


@pytest.mark.parametrize("method", GUIDED)
def test_at_its_start_a_policy_has_left_nothing_and_the_guides_tokens_are_told(place, tmp_path, method):
    facts = rlgf.train(spec_of(place, method, kl_coefficient=0.3), place / "data", tmp_path)
    history = lines_of(tmp_path / "history.jsonl")
    assert history[0]["kl"] == 0
    assert all(row["kl"] != 0 for row in history[1:])
    told = [row["tokens_guided"] for row in history]
    assert 0 < told[0] < told[1] < told[2] == facts["tokens_guided"]
    assert facts["tokens_generated"] == history[-1]["tokens_generated"] > 0
    assert 0 <= facts["guide_validation"] <= 100
    assert len(facts["guide_digest"]) == 16


def test_d2lols_tells_its_order_and_lols_its_draws(place, tmp_path):
    rlgf.train(spec_of(place, "d2lols", d2lols_share=0.5), place / "data", tmp_path / "d2lols")
    assert [row["mode"] for row in lines_of(tmp_path / "d2lols" / "history.jsonl")] == [
        "aggrevated",
        "aggrevated",
        "ppo++",
    ]
    rlgf.train(spec_of(place, "lols", prompts=64, lols_share=0.5, epochs=1), place / "data", tmp_path / "lols")
    assert {row["mode"] for row in lines_of(tmp_path / "lols" / "history.jsonl")} == {"aggrevated", "ppo++"}


def test_kl_is_paid_by_the_policys_own_tokens_or_not_at_all(place, tmp_path):
    histories = []
    for name, more in (("own", {}), ("dropped", {"kl_penalty": "dropped"}), ("none", {"kl_coefficient": 0})):
        rlgf.train(spec_of(place, "aggrevated", **more), place / "data", tmp_path / name)
        histories.append(lines_of(tmp_path / name / "history.jsonl"))
    own, dropped, none = histories
    assert dropped == none != own
    assert [row["kl_coefficient"] for row in own + dropped] == [0.05] * 3 + [0] * 3


@pytest.mark.parametrize("mode", ["ppo++", "aggrevated"])
def test_the_critic_that_is_not_in_use_has_no_gradient(place, mode):
    spec = spec_of(place, "lols", lols_share=float(mode == "ppo++"), value_learning_rate=0.1)
    sampler = sampler_of(spec)
    policy, head = sampler.policy, sampler.policy.head
    policy.heads = {name: type(head)(16) for name in ("ppo++", "aggrevated")}
    policy.head = policy.heads["ppo++"]
    collect = SharedRollOuts(spec, sampler, open_guide(spec, sampler, None, None))
    found = collect(prompts_of(spec, place))
    assert found.more["mode"] == mode
    read = found.inputs or [prompt.tokens for prompt in found.prompts]
    scores = [1.0, -1.0] * 4
    experience, first = gather_experience(
        policy, read, found.responses, ["t"] * 8, scores, 0.1, spec.settings, ppo.PPO, found.spans
    )
    update(
        policy, make_optimiser(policy, spec.settings, 1e-2), experience, spec.settings,
        torch.Generator().manual_seed(0), ppo.PPO, first,
    )  # fmt: skip
    assert len(policy.value_parameters()) == 4
    for name, one in policy.heads.items():
        assert any(bool(p.any()) for p in one.parameters()) == (name == mode)


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize(("method", "how"), zip(GUIDED, HOW * 2, strict=True))
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(place, tmp_path, method, how):
    spec = spec_of(place, method, prompts=40, lols_share=0.5, learning_rates=[3e-3, 1e-2], evaluate_every=2)

    def train(checkpoint):
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return rlgf.train(spec, place / "data", tmp_path / "stopped", checkpoint=checkpoint)

    undisturbed = rlgf.train(spec, place / "data", tmp_path / "whole")
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 3, 3))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    assert weights_in(tmp_path / "stopped") == weights_in(tmp_path / "whole")


def test_a_guide_that_changes_ends_the_run(place, tmp_path, monkeypatch):
    genuine = guides.StartGuide.write

    def write(self, *given):
        with torch.no_grad():
            next(self.sampler.policy.model.parameters()).add_(1e-3)
        return genuine(self, *given)

    rlgf.train(spec_of(place), place / "data", tmp_path / "sound")
    monkeypatch.setattr(guides.StartGuide, "write", write)
    with pytest.raises(
        RuntimeError, match=r"tiny/ppo\+\+/sst2/main/seed1: the guide has changed, from \w{16} to \w{16}"
    ):
        rlgf.train(spec_of(place), place / "data", tmp_path / "changed")


def test_the_learner_as_its_guide_is_the_releases_and_has_no_digest(place, tmp_path):
    facts = rlgf.train(spec_of(place, guide_weights="learner"), place / "data", tmp_path / "learner")
    assert facts["guide_digest"] is None
    rlgf.train(spec_of(place), place / "data", tmp_path / "frozen")
    first, second = (lines_of(tmp_path / name / "history.jsonl") for name in ("learner", "frozen"))
    assert first[0] == second[0]  # before the first update they are one
    assert first[2] != second[2]


@pytest.mark.parametrize("guide", [
    {"guide": "start"}, {"guide": "model", "guide_model": "other"}, {"guide": "references"}, {"guide_max_new_tokens": 4},
])  # fmt: skip
def test_texts_are_begun_and_gone_on_with(tmp_path, guide):
    """Every method learns a task of texts; a text keeps its lengths, whoever writes it."""
    tokenizer = byte_tokenizer()
    for name, seed in (("model", 0), ("other", 1)):
        tiny_decoder("llama", len(tokenizer), seed).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    write_scenes(tmp_path / "data")
    models = {n: Model(kind="decoder", path=str(tmp_path / p)) for n, p in (("tiny", "model"), ("other", "other"))}
    models = {name: model.model_copy(update={"max_length": 250}) for name, model in models.items()}
    settings = SETTINGS | {"supervised_coefficient": 0.1, "prompts": 16} | guide
    config = load_config({"rlgf": settings, "evaluation": {"bootstrap": 20}})
    for method in GUIDED if guide.get("guide") != "references" else ["ppo++"]:
        address = Address("tiny", method, "scenes", "main", 0)
        spec = resolve(config, models, {"scenes": scenes(least_tokens=6, most_tokens=9)}, address)
        facts = rlgf.train(spec, tmp_path / "data", tmp_path / method)
        history = lines_of(tmp_path / method / "history.jsonl")
        assert facts["tokens_guided"] > 0
        assert history[0]["kl"] == 0
        assert history[0]["accuracy_early"] is None  # a text is neither right nor wrong
        assert history[0]["supervised_loss"] > 0
        assert 0 <= history[0]["reward"] <= 1
        if method == "ppo++":  # six to nine tokens of each of eight answers, of which the guide's prefix are no part
            assert history[0]["tokens_generated"] <= 8 * 9
            most = 8 * {"references": 9}.get(guide.get("guide"), guide.get("guide_max_new_tokens", 9))
            assert history[0]["tokens_guided"] <= most


def test_its_program_trains_a_run_and_leaves_its_record(tmp_path, root):
    prepare(
        load_task("sst2"),
        Data(source="microworld", train_rows=30, validation_rows=5, test_rows=5),
        tmp_path / "data" / "sst2",
    )
    settings = SETTINGS | {"prompts": 8, "batch_size": 4, "epochs": 1}
    rows = {"source": "microworld", "train_rows": 30, "validation_rows": 5, "test_rows": 5}
    (tmp_path / "config.yaml").write_text(json.dumps({"name": "tiny", "data": rows, "rlgf": settings}))
    run = "micro-llama/ppo++/sst2/main/seed0"
    given = {"config": tmp_path / "config.yaml", "run": run, "data": tmp_path / "data", "work": tmp_path / "work"}
    command = [sys.executable, str(root / "workflow" / "scripts" / "rlgf.py"), "--out", str(tmp_path / "results" / run)]
    command += [str(part) for name, value in given.items() for part in (f"--{name}", value)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root / "src")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "results" / run / "run.json").read_text())
    assert record["run"] == run
    assert record["facts"]["tokens_guided"] > 0
    assert (tmp_path / "results" / run / "adapter" / "adapter_config.json").is_file()
