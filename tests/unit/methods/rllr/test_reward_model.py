"""The reward models: losses by hand, scores against single forward passes, training, and how held-out pairs are measured."""

import math
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from roll_outs import backbone_of
from torch import nn

from rl4nlu.base.checkpoint import NOT_SAVED, Checkpoint
from rl4nlu.base.errors import Diverged
from rl4nlu.base.files import REPOSITORY, write_json, write_jsonl
from rl4nlu.config import Lora, Model, RewardModel, load_config
from rl4nlu.methods.rllr import reward_model
from rl4nlu.methods.rllr.pairs import Pair
from rl4nlu.methods.rllr.reward_model import (
    Sides,
    at_end,
    dense_loss,
    fit,
    held_out,
    load_head,
    measure,
    pair_losses,
    responses_scored,
    reward_head,
    save_reward,
    tokenise_pairs,
)
from rl4nlu.models.load import add_lora
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
PAIR = Pair("sst2", "r", "p", "a", "b", "label")
SIDES = [
    Sides(PAIR, [1, 5, 6, 7], [11, 12, 13, 2], [11, 14, 2]),
    Sides(PAIR, [1, 5, 6, 8, 9], [20, 2], [21, 22, 23, 2]),
    Sides(PAIR, [1, 5, 6], [30, 31, 2], [30, 31, 3]),
]
SETTINGS = RewardModel(pairs=3, batch_size=3, lora=Lora(rank=3))


@pytest.fixture
def model():
    torch.manual_seed(3)
    lora = add_lora(backbone_of("llama"), Lora(rank=3), 0).eval()
    with torch.no_grad():
        for parameter in (p for p in lora.parameters() if p.requires_grad):
            parameter.add_(0.05 * torch.randn_like(parameter))
    return lora, reward_head(16, torch.float32, 0)


def minus_log_sigmoid(x):
    return math.log1p(math.exp(-x))


# ------------------------------------------------------------------------------------------ by hand


def test_dense_loss_by_hand():
    chosen = torch.tensor([[9.0, 1.0, 2.0, 0.5], [1.0, 7.0, 7.0, 7.0]])
    rejected = torch.tensor([[9.0, 0.0, 4.0, 0.5], [0.0, 7.0, 7.0, 7.0]])
    first, end = torch.tensor([1, 0]), torch.tensor([4, 1])
    expected = [(minus_log_sigmoid(1) + minus_log_sigmoid(-2) + minus_log_sigmoid(0)) / 3, minus_log_sigmoid(1)]
    assert dense_loss(chosen, rejected, first, end).tolist() == pytest.approx(expected)
    warm = [(minus_log_sigmoid(0.5) + minus_log_sigmoid(-1) + minus_log_sigmoid(0)) / 3, minus_log_sigmoid(0.5)]
    assert dense_loss(chosen, rejected, first, end, temperature=2.0).tolist() == pytest.approx(warm)


def test_the_first_difference_and_the_last_token():
    assert [side.first for side in SIDES] == [1, 0, 2]
    assert [side.length for side in SIDES] == [8, 9, 6]
    assert Sides(PAIR, [1], [4, 5], [4, 5, 6]).first == 2
    assert at_end(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [[0, 0, 0], [0]]).tolist() == [3.0, 4.0]


# ------------------------------------------------------------------------------------------ against single forward passes


def scores_alone(model, head, prompt, response):
    """Scores of the response's tokens, of one row by itself."""
    hidden = model.get_base_model().base_model(torch.tensor([prompt + response])).last_hidden_state
    return head(hidden)[0, len(prompt) :]


@pytest.mark.parametrize("loss", ["dense", "last"])
def test_losses_are_those_of_pairs_by_themselves(model, loss):
    """Padding is what the shorter side reads behind its end: the dense loss compares its scores there, too."""
    settings = SETTINGS.model_copy(update={"loss": loss})
    expected = []
    for side in SIDES:
        length = max(len(side.chosen), len(side.rejected))
        padded = [r + [40] * (length - len(r)) for r in (side.chosen, side.rejected)]
        chosen, rejected = (scores_alone(*model, side.prompt, r).tolist() for r in padded)
        if loss == "dense":
            terms = [minus_log_sigmoid(a - b) for a, b in zip(chosen, rejected, strict=True)][side.first :]
        else:
            terms = [minus_log_sigmoid(chosen[len(side.chosen) - 1] - rejected[len(side.rejected) - 1])]
        expected.append(sum(terms) / len(terms))
    with torch.no_grad():
        assert pair_losses(*model, SIDES, settings, 40).tolist() == pytest.approx(expected, rel=1e-4)


def test_the_two_losses_differ(model):
    with torch.no_grad():
        dense, last = (
            pair_losses(*model, SIDES, SETTINGS.model_copy(update={"loss": how}), 40) for how in ("dense", "last")
        )
    assert not torch.allclose(dense, last, rtol=1e-2)


def test_a_response_scores_what_its_last_token_scores_alone(model):
    expected = [scores_alone(*model, side.prompt, side.chosen)[-1].item() for side in SIDES]
    prompts, responses = [s.prompt for s in SIDES], [s.chosen for s in SIDES]
    for settings in (SETTINGS, SETTINGS.model_copy(update={"micro_batch_size": 1})):
        assert responses_scored(*model, prompts, responses, ["a"] * 3, settings) == pytest.approx(expected, abs=1e-5)


# ------------------------------------------------------------------------------------------ training


def test_training_tells_the_pairs_apart_and_leaves_the_backbone(model):
    lora, head = model
    before = {n: p.detach().clone() for n, p in lora.named_parameters()}
    history, _ = fit(lora, head, SIDES, [[0, 1, 2]] * 20, SETTINGS, 1e-2, 40)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert all(chosen > rejected for chosen, rejected in held_out(lora, head, SIDES, SETTINGS))
    assert all(torch.equal(p, before[n]) for n, p in lora.named_parameters() if "lora" not in n)


def test_cutting_a_batch_into_pieces_changes_nothing(model):
    lora, head = model
    start = [p.detach().clone() for p in [*lora.parameters(), *head.parameters()]]
    ends = []
    for size in (None, 1):
        with torch.no_grad():
            for parameter, value in zip([*lora.parameters(), *head.parameters()], start, strict=True):
                parameter.copy_(value)
        fit(lora, head, SIDES, [[0, 1, 2]] * 2, SETTINGS.model_copy(update={"micro_batch_size": size}), 1e-2, 40)
        ends.append(nn.utils.parameters_to_vector([p for p in lora.parameters() if p.requires_grad]))
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_no_number_is_one_message(model):
    lora, head = model
    with torch.no_grad():
        head.linear.weight.fill_(math.nan)
    with pytest.raises(Diverged, match=r"step 0: the reward model's loss is nan"):
        fit(lora, head, SIDES, [[0]], SETTINGS, 1e-2, 40)


def test_a_head_is_read_back_as_it_was_written(model, tmp_path):
    lora, head = model
    save_reward(lora, head, tmp_path)
    assert (tmp_path / "adapter_config.json").is_file()
    again = load_head(tmp_path, 16, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))
    assert head.linear.weight.abs().sum() > 0  # unlike a fresh value head's


# ------------------------------------------------------------------------------------------ whole runs


@pytest.fixture
def chain(tmp_path):
    """A run's rows, and the folders that it stands on: micro-llama in the merged model's place, and pairs by hand."""
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "model").symlink_to(REPOSITORY / "resources" / "micro" / "micro-llama")
    for split, n in (("train", 16), ("validation", 6)):
        rows = [{"id": f"{split}{i}", "fields": {"sentence": f"{'good' if i % 2 else 'bad'} film"}, "label": str(i % 2)} for i in range(n)]  # fmt: skip
        write_jsonl(tmp_path / "data" / "sst2" / f"{split}.jsonl", rows)
        said = {"1": "the film is good . <Judgement> Positive </Judgement>", "0": "the film is bad . <Judgement> Negative </Judgement>"}  # fmt: skip
        other = {"1": "0", "0": "1"}
        pairs = [Pair("sst2", r["id"], "p", said[r["label"]], said[other[r["label"]]], "label") for r in rows]
        write_jsonl(tmp_path / "pairs" / f"label.{split}.jsonl", [asdict(pair) for pair in pairs])
        turned = [
            replace(p, chosen=p.rejected, rejected=p.chosen) for p in pairs[1:4:2]
        ]  # whose labels agree, as it were
        ranked = [pairs[0], pairs[2], *pairs[4:], *(replace(p, kind="rationale") for p in turned)]
        write_jsonl(tmp_path / "pairs" / f"rationale.{split}.jsonl", [asdict(pair) for pair in ranked])
    at_hand = {"label": {"at_hand": 100}, "rationale": {"at_hand": 16}}
    write_json(tmp_path / "pairs" / "statistics.json", {"train": {"pairs": at_hand}})

    def train(name, checkpoint=NOT_SAVED, method="reward-label", **settings):
        models = {"tiny": Model(kind="decoder", path="resources/micro/micro-llama", max_length=96)}
        values = {"pairs": 24, "batch_size": 8, "lora": {"rank": 2}} | settings
        spec = resolve(load_config({"reward_model": values}), models, TASKS, Address("tiny", method, "sst2", "main", 0))  # fmt: skip
        stands_on = {"backbone": tmp_path / "merged", "pairs": tmp_path / "pairs"}
        return reward_model.train(spec, tmp_path / "data", tmp_path / name, stands_on, checkpoint)

    return train


def test_the_candidate_that_tells_most_held_out_pairs_apart_is_kept_and_one_that_diverges_is_recorded(chain, tmp_path):
    facts = chain("out", learning_rates=[1e30, 1e-6, 1e-2])
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}
    best = max(facts["candidates"][1:], key=lambda c: c["validation"])
    assert (facts["learning_rate"], facts["held_out"]) == (best["learning_rate"], best["held_out"])
    assert facts["validation"] == 100 * facts["held_out"]["label"]["accuracy"]
    assert best["tokens_trained"] == facts["tokens_trained"] > 0 == best["tokens_generated"]
    assert best["seconds"] > 0 < best["cpu_seconds"]
    alone = chain("alone", learning_rates=[best["learning_rate"]])
    assert without_times(alone)["held_out"] == facts["held_out"]
    weights = [(tmp_path / n / "adapter" / "adapter_model.safetensors").read_bytes() for n in ("out", "alone")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("method", "at_hand"), [("reward-label", 100), ("reward-rationale", 16)])
def test_the_record_says_what_was_learnt_from(chain, method, at_hand):
    facts = chain("out", method=method)
    names = ("pairs_at_hand", "pairs_kept", "pairs_seen", "distinct_pairs_seen", "passes", "optimiser_steps")
    assert [facts[name] for name in names] == [at_hand, 16, 24, 16, 1.5, 3]
    assert facts["rationale_sensitive"] == (0.125 if method == "reward-rationale" else 0)
    few = chain("few", method=method, pairs=8)
    assert (few["distinct_pairs_seen"], few["passes"]) == (8, 1.0)


def test_a_model_is_chosen_by_held_out_pairs_as_it_learns_from(chain):
    for method, kind in (("reward-label", "label"), ("reward-rationale", "ranked")):
        facts = chain(method, method=method, learning_rates=[1e-2])
        assert facts["validation"] == 100 * facts["held_out"][kind]["accuracy"]
        assert facts["held_out"]["ranked"]["accuracy"] != facts["held_out"]["rationale"]["accuracy"]
        assert {name: found["n"] for name, found in facts["held_out"].items()} == {
            "label": 6, "rationale": 2, "policy": 0, "ranked": 6,
        }  # fmt: skip


def test_held_out_pairs_are_measured_by_file_origin_and_kind(model):
    own, agreeing = replace(PAIR, origin="policy"), replace(PAIR, kind="rationale", origin="policy")
    held = {"label": [SIDES[0], replace(SIDES[1], pair=own)], "rationale": [replace(SIDES[0], pair=agreeing), replace(SIDES[2], pair=own)]}  # fmt: skip
    found, right = measure(*model, held, SETTINGS)
    margins = [good - bad for good, bad in held_out(*model, SIDES, SETTINGS)]
    expected = {
        "label": margins[:1],
        "policy": margins[1:2],
        "ranked": [margins[0], margins[2]],
        "rationale": margins[:1],
    }
    assert {name: (some["n"], some["margin"]) for name, some in found.items()} == {
        name: (len(some), pytest.approx(sum(some) / len(some), abs=1e-5)) for name, some in expected.items()
    }
    assert max(right) - min(right) == pytest.approx(0, abs=1e-6)  # of the one supplied pair


def test_if_all_rates_diverge_one_message_names_the_run_and_the_rates(chain):
    with pytest.raises(
        Diverged, match=r"run tiny/reward-label/.*\(1e\+30\).* loss is nan; lower reward_model\.learning_rates"
    ):
        chain("out", learning_rates=[1e30])


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(chain, tmp_path, how):
    changes = {"learning_rates": [1e-3, 1e-2], "lora": {"rank": 2, "dropout": 0.1}, "pairs": 40}

    def train(checkpoint):
        torch.manual_seed(0)  # the start of a process: dropout goes on from a state that is not the run's own
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return chain("stopped", checkpoint, **changes)

    undisturbed = train(NOT_SAVED)
    shutil.move(tmp_path / "stopped", tmp_path / "whole")
    found = interrupted(train, tmp_path / "state", how, (1, 3, 3))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    for file in ("adapter_model.safetensors", "head.safetensors"):
        weights = [(tmp_path / n / "adapter" / file).read_bytes() for n in ("stopped", "whole")]
        assert weights[0] == weights[1]


def test_nothing_that_was_trained_is_trained_again(chain, tmp_path, monkeypatch):
    first = chain("a", Checkpoint(tmp_path / "state", "x"), learning_rates=[1e-3, 1e-2])
    monkeypatch.setattr(reward_model, "pair_losses", None)
    again = chain("b", Checkpoint(tmp_path / "state", "x"), learning_rates=[1e-3, 1e-2])
    assert without_times(again) == without_times(first)


# ------------------------------------------------------------------------------------------ tokens that fit


def spec_of(**protocol):
    models = {"tiny": Model(kind="decoder", path="resources/micro/micro-llama", max_length=96)}
    config = load_config({"protocol": protocol})
    return resolve(config, models, TASKS, Address("tiny", "reward-label", "sst2", "main", 0))


def test_right_truncation_cuts_off_the_label_and_shortening_does_not(tmp_path):
    """Paper 2: the release cuts prompt and response at the right, in proportion."""
    from rl4nlu.models.load import load_tokenizer

    text = " ".join(["good film"] * 60)
    row = {"id": "r", "fields": {"sentence": text}, "label": "1"}
    for split in ("train", "validation"):
        write_jsonl(tmp_path / "sst2" / f"{split}.jsonl", [row] if split == "train" else [])
    chosen, rejected = (f"the film is good . <Judgement> {word} </Judgement>" for word in ("Positive", "Negative"))
    pair = Pair("sst2", "r", "", chosen, rejected, "label")
    tokenizer = load_tokenizer(spec_of().model_spec)
    (whole,) = tokenise_pairs(spec_of(), [pair], tmp_path, tokenizer)
    assert whole.length <= 96
    assert "Positive" in tokenizer.decode(whole.chosen)
    (cut,) = tokenise_pairs(spec_of(truncation="proportional"), [pair], tmp_path, tokenizer)
    assert cut.length <= 96
    assert cut.chosen == cut.rejected  # what told them apart is gone
    assert cut.first == len(cut.chosen) - 1


def test_no_held_out_pairs_are_no_fault(model, tmp_path):
    """Of a small or settled model's replies no pair may come out."""
    assert tokenise_pairs(spec_of(), [], tmp_path, None) == []
    assert held_out(*model, [], SETTINGS) == []
