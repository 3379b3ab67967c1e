"""Whole runs of policy optimisation: what they leave, what stays as it was, candidates, resuming."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from roll_outs import spec_of, write_place
from scenes import TOKENIZER, save_tiny, scene_rows, scenes, scenes_spec, write_scenes
from tiny_models import byte_tokenizer, tiny_decoder

from rl4nlu.base.checkpoint import Checkpoint
from rl4nlu.base.errors import Diverged
from rl4nlu.config import Lora, Model
from rl4nlu.methods.rl import grpo, loop, ppo, raft
from rl4nlu.methods.rl.policy import build_policy
from rl4nlu.methods.rl.rollout import Sampler, gold_answer, plan_prompts
from rl4nlu.models.load import add_lora, load_adapter, load_backbone


def run(place: Path, out: Path, start_adapter: Path | None = None, **changes: object):
    facts = ppo.train(spec_of(place, **changes), place / "data", out, start_adapter=start_adapter)
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return facts, history


def test_the_same_seed_gives_the_same_numbers(place, tmp_path):
    first, second = (run(place, tmp_path / name, evaluate_every=2) for name in "ab")
    for history in (first[1], second[1]):
        assert [row["step"] for row in history] == [1, 2, 3]
        assert [row["validation"] is None for row in history] == [True, False, False]
        for row in history:
            del row["seconds"], row["cpu_seconds"]
    assert first[1] == second[1]
    assert first[0]["validation"] == first[1][-1]["validation"]
    weights = [(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert first[1][0]["kl"] == 0
    assert first[1][-1]["kl"] != 0
    assert {k: first[0][k] for k in ("optimiser_steps", "prompts_seen")} == {"optimiser_steps": 12, "prompts_seen": 24}


@pytest.mark.filterwarnings("ignore:.*no padding token")
def test_an_end_token_that_also_pads_is_rewarded_and_learnt_as_any_other(tmp_path):
    """GPT-2 has no padding token; paper 3's release masked its end token out of every loss with the padding."""
    runs = []
    for pad in (True, False):
        place = write_place(tmp_path / str(pad), "gpt2", pad)
        _, history = run(place, place / "out")
        runs.append((without_times(history), (place / "out" / "adapter" / "adapter_model.safetensors").read_bytes()))
    assert runs[0] == runs[1]


@pytest.mark.filterwarnings("ignore:.*no padding token")
def test_texts_and_gold_texts_may_end_with_the_token_that_pads(tmp_path):
    data, runs = write_scenes(tmp_path / "data"), []
    for pad in (True, False):
        tiny_decoder("gpt2", 259, spread=0.08).save_pretrained(tmp_path / str(pad))
        byte_tokenizer(pad=pad).save_pretrained(tmp_path / str(pad))
        settings = {"prompts": 8, "batch_size": 4, "minibatch_size": 4, "epochs": 1, "supervised_coefficient": 0.1}
        model = Model(kind="decoder", path=str(tmp_path / str(pad)), max_length=256)
        spec = scenes_spec("ppo", ppo=settings).model_copy(update={"model_spec": model})
        ppo.train(spec, data, out := tmp_path / f"out {pad}")
        runs.append((lines_of(out / "history.jsonl"), (out / "adapter" / "adapter_model.safetensors").read_bytes()))
    assert runs[0] == runs[1]
    assert runs[0][0][0]["supervised_loss"] > 0


def test_a_function_of_ones_own_judges_the_answers(place, tmp_path):
    _, plain = run(place, tmp_path / "plain")
    _, mine = run(place, tmp_path / "mine", reward="config.example_reward:length_penalised")
    for row in mine:  # right 1, unreadable -1, less 0.05 for each of at most three words
        match = row["accuracy"] - row["invalid_rate"]
        assert match - 0.15 <= row["reward"] < match
    assert mine[0]["accuracy"] == plain[0]["accuracy"]  # the first roll-out is that of the start
    weights = [(tmp_path / n / "adapter" / "adapter_model.safetensors").read_bytes() for n in ("plain", "mine")]
    assert weights[0] != weights[1]


def test_candidates_are_chosen_on_validation(place, tmp_path, monkeypatch):
    scores = iter([10.0, 30.0, 30.0])
    monkeypatch.setattr(loop, "validation_score", lambda *arguments: next(scores))
    facts, history = run(place, tmp_path, learning_rates=[1e-4, 2e-4, 3e-4])
    assert facts["learning_rate"] == 2e-4
    assert [c["validation"] for c in facts["candidates"]] == [10, 30, 30]
    costs = {"tokens_trained", "tokens_generated", "seconds", "cpu_seconds"}
    assert all(c[cost] > 0 for c in facts["candidates"] for cost in costs)
    assert history[-1]["learning_rate"] == 2e-4


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimiser": "adafactor", "value_learning_rate": None}, {"lora": {"rslora": True, "targets": "all-linear"}}],
)
def test_the_backbone_stays_as_it_was(place, tmp_path, changes, monkeypatch):
    policies = []
    monkeypatch.setattr(
        loop, "build_policy", lambda *arguments: policies.append(build_policy(*arguments)) or policies[0]
    )
    run(place, tmp_path, protocol={"reward_table": "paper", "schedule": "cosine"}, **changes)
    base = load_backbone(spec_of(place).model_spec)
    ids = torch.tensor([[1, 7, 10, 6, 3]])
    with torch.no_grad(), policies[0].model.disable_adapter():
        assert torch.equal(policies[0].model(input_ids=ids).logits, base(input_ids=ids).logits)
    with torch.no_grad():
        trained = policies[0].model(input_ids=ids).logits
        assert not torch.equal(trained, base(input_ids=ids).logits)
        assert torch.allclose(load_adapter(base, tmp_path / "adapter")(input_ids=ids).logits, trained, atol=1e-6)


@pytest.mark.parametrize("rslora", [False, True])
def test_from_sft_the_reference_is_the_sft_policy_and_one_adapter_is_saved(place, tmp_path, rslora, monkeypatch):
    sft = add_lora(load_backbone(spec_of(place).model_spec), Lora(rank=3, alpha=5, rslora=rslora), 7)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in sft.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    sft.save_pretrained(str(tmp_path / "sft"))
    ids = torch.tensor([[1, 7, 10, 6, 3]])
    sft_logits = sft.eval()(input_ids=ids).logits

    policies = []
    monkeypatch.setattr(
        loop, "build_policy", lambda *arguments: policies.append(build_policy(*arguments)) or policies[0]
    )
    _, history = run(place, tmp_path / "out", tmp_path / "sft", start="sft", learning_rates=[0.05])
    assert history[0]["kl"] == 0
    policy = policies[0]
    with torch.no_grad():
        with policy.reference():
            assert torch.equal(policy.model(input_ids=ids).logits, sft_logits)
        trained = policy.model(input_ids=ids).logits
        assert (trained - sft_logits).abs().max() > 1e-2
        alone = load_adapter(load_backbone(spec_of(place).model_spec), tmp_path / "out" / "adapter")
        assert torch.allclose(alone(input_ids=ids).logits, trained, atol=1e-5)
    assert alone.peft_config["default"].r == 5
    assert sorted(p.name for p in (tmp_path / "out" / "adapter").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


DIVERGES = {"max_grad_norm": None, "optimiser": "adafactor", "ratio_threshold": None}
"""At a rate of 1e30."""


def test_if_all_rates_diverge_one_message_names_the_run_and_the_rates(place, tmp_path):
    message = r"run tiny/ppo/sst2/main/seed1: .* \(1e\+30, 1e\+31\); at the last one, roll-out \d: .*; lower ppo\."
    with pytest.raises(Diverged, match=message):
        run(place, tmp_path, learning_rates=[1e30, 1e31], **DIVERGES)


def test_a_candidate_that_diverges_is_dropped_and_recorded(place, tmp_path):
    facts, history = run(place, tmp_path, learning_rates=[1e30, 1e-4], **DIVERGES)
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}
    assert facts["learning_rate"] == history[-1]["learning_rate"] == 1e-4


def test_tensorboard_events_are_written_where_asked(place, tmp_path):
    pytest.importorskip("tensorboard")
    ppo.train(spec_of(place), place / "data", tmp_path / "out", tensorboard=tmp_path / "events")
    assert list((tmp_path / "events" / "0.003").glob("events*"))


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("start", ["base", "sft"])
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(place, tmp_path, how, start):
    changes = {"learning_rates": [3e-3, 1e-2], "evaluate_every": 2, "kl_control": "adaptive", "kl_horizon": 50}
    adapter = None
    if start == "sft":
        run(place, tmp_path / "sft", prompts=8, learning_rates=[1e-1])
        adapter = tmp_path / "sft" / "adapter"
    spec = spec_of(place, prompts=40, start=start, **changes)

    def train(checkpoint):
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return ppo.train(spec, place / "data", tmp_path / "stopped", start_adapter=adapter, checkpoint=checkpoint)

    undisturbed = ppo.train(spec, place / "data", tmp_path / "whole", start_adapter=adapter)
    torch.rand(3)
    # in the first candidate's steps 1 and 4, and in the second's
    found = interrupted(train, tmp_path / "state", how, (1, 3, 3))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "adapter" / "adapter_model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_nothing_that_was_trained_is_trained_again(place, tmp_path, monkeypatch):
    spec = spec_of(place, learning_rates=[3e-3, 1e-2])
    first = ppo.train(spec, place / "data", tmp_path / "a", checkpoint=Checkpoint(tmp_path / "state", "x"))
    monkeypatch.setattr(loop, "update", None)
    again = ppo.train(spec, place / "data", tmp_path / "b", checkpoint=Checkpoint(tmp_path / "state", "x"))
    assert again == first


SMALL = {"prompts": 12, "batch_size": 6, "epochs": 1, "learning_rates": [1e-2], "max_new_tokens": 2}
SIZES = {
    "ppo": {"minibatch_size": 6, "supervised_coefficient": 0.1},
    "grpo": {"minibatch_size": 12, "group_size": 2},
    "raft": {"minibatch_size": 12, "group_size": 2},
}


@pytest.mark.parametrize("method", SIZES)
def test_texts_are_learnt_by_every_policy_optimisation_with_rules(method, tmp_path):
    task, train = scenes(least_tokens=3, most_tokens=9, metrics=["rouge-l"]), {"ppo": ppo, "grpo": grpo, "raft": raft}
    spec = scenes_spec(method, task, path=save_tiny(tmp_path / "tiny"), **{method: SMALL | SIZES[method]})
    facts = train[method].train(spec, write_scenes(tmp_path / "data"), tmp_path)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["accuracy"] for row in history] == [None, None]  # a text is neither right nor wrong
    assert all(0 <= row["reward"] <= 1 for row in history)
    answers = facts["prompts_seen"] * (1 if method == "ppo" else 2)
    assert 3 * answers <= facts["tokens_generated"] <= 9 * answers
    assert facts["validation"] is not None
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_a_sampled_text_has_the_tasks_room_and_no_tag_ends_it(tmp_path):
    task = scenes(least_tokens=3, most_tokens=9)
    spec = scenes_spec("ppo", task, path=save_tiny(tmp_path / "tiny"), ppo=SMALL | SIZES["ppo"])
    prompts, _ = plan_prompts(spec, write_scenes(tmp_path / "data"), TOKENIZER)
    policy = build_policy(spec, None)
    sampler = Sampler(spec, policy, TOKENIZER)
    found = sampler(prompts)
    assert sampler.stop is None
    assert max(map(len, found.responses)) == 9  # whatever max_new_tokens says
    assert [reading.label for reading in found.readings] == [text.strip() or None for text in found.texts]
    assert found.accuracy is None

    def prefer_the_end(head, read, logits):
        return logits.index_add(-1, torch.tensor([1]), torch.full((*logits.shape[:-1], 1), 50.0))

    policy.model.get_base_model().lm_head.register_forward_hook(prefer_the_end)
    assert {len(response) for response in sampler(prompts).responses} == {3 + 1}


def test_the_gold_answer_of_a_text_is_one_reference_drawn_once(tmp_path):
    spec = scenes_spec("ppo", path=tmp_path)
    drawn = [TOKENIZER.decode(gold_answer(spec, TOKENIZER, scenes(), row)) for row in scene_rows(8)]
    assert drawn == [TOKENIZER.decode(gold_answer(spec, TOKENIZER, scenes(), row)) for row in scene_rows(8)]
    places = [
        [f" {text}</s>" for text in row.answers].index(text) for row, text in zip(scene_rows(8), drawn, strict=True)
    ]
    assert set(places) == {0, 1}
