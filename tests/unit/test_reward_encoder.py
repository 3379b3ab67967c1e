"""The reward encoder: the loss by hand, scores against plain transformers calls, what is dropped, training and resuming."""

import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForMaskedLM

from rl4nlu import encoder, reward_encoder
from rl4nlu.config import REPOSITORY, ConfigError, Model, load_config
from rl4nlu.models import load_tokenizer
from rl4nlu.pairs import Pair, Reply
from rl4nlu.ranking import rank
from rl4nlu.records import read_jsonl, write_jsonl
from rl4nlu.reward_encoder import (
    PairTrainer,
    Sides,
    kinds_told_apart,
    load_reward_encoder,
    margins,
    read_as,
    scores,
    side_by_side,
    sides_of,
)
from rl4nlu.runs import Address, resolve
from rl4nlu.tasks import load_tasks

TASKS = load_tasks()
MICRO = REPOSITORY / "resources" / "micro"
QUESTION = 'Is this review positive or negative ? "the film is good"'


def said(word: str, rationale: str = "") -> str:
    return f"{rationale} <Judgement> {word} </Judgement>".strip()


GOOD, PLAIN, BAD, WORST = (
    said("Positive", "The film is good."), said("Positive"), said("Negative", "The film is bad."), said("Negative"),
)  # fmt: skip


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Folder of a tiny random BERT with the micro encoders' tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(MICRO / "micro-bert-base")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128, initializer_range=0.2,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def chain(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run, its rows, and the folder that it stands on; what the merged model would say is made up."""
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "model").symlink_to(MICRO / "micro-llama")
    for split in ("train", "validation"):
        rows = [
            {
                "id": f"{split}{n}",
                "fields": {"sentence": f"the film is {'good' if n % 2 else 'bad'}"},
                "label": str(n % 2),
            }
            for n in range(24)
        ]
        write_jsonl(tmp_path / "data" / "sst2" / f"{split}.jsonl", rows)

    def replies(spec, model, tokenizer, asked, seed):
        """One right reply, one wrong one, one that is no answer."""
        word = {"1": "Positive", "0": "Negative"}
        other = {"1": "0", "0": "1"}
        return [
            [
                Reply(said(word[label], f"The film is {'good' if label == '1' else 'bad'}."), "", label)
                for label in (q.row.label, other[q.row.label])
            ]
            + [Reply("The film", "", None)]
            for q in asked
        ]

    monkeypatch.setattr(reward_encoder, "sampled", replies)

    def spec(**settings):
        models = {
            "tiny": Model(kind="decoder", path="resources/micro/micro-llama"),
            "tiny-bert": Model(kind="encoder", path=str(bert), max_length=128),
        }
        values = {
            "encoder": "tiny-bert",
            "prompts": 20,
            "validation_prompts": 8,
            "pairs": 320,
            "learning_rates": [1e-2],
        }
        config = load_config({"reward_encoder": {**values, **settings}})
        return resolve(config, models, TASKS, Address("tiny", "reward-encoder", "sst2", "main", 0))

    return spec, tmp_path / "data", {"backbone": tmp_path / "merged"}


# The loss ----------------------------------------------------------------------------------------------------------


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_the_loss_by_hand():
    logits = torch.tensor([[1.0], [-2.0], [0.5], [1.0]])  # chosen 1 and -2, rejected 0.5 and 1
    loss = PairTrainer.compute_loss(None, lambda **_: SimpleNamespace(logits=logits), {})
    assert loss.item() == pytest.approx((minus_log_sigmoid(0.5) + minus_log_sigmoid(-3.0)) / 2)


def test_a_batch_holds_the_chosen_sides_and_then_the_rejected(bert: Path):
    """Its loss is that of the pairs by themselves, read by plain transformers calls."""
    tokenizer = load_tokenizer(Model(kind="encoder", path=str(bert)))
    model = encoder.with_head(Model(kind="encoder", path=str(bert)), 0, num_labels=1).eval()
    pairs = [Pair("sst2", "r", QUESTION, GOOD, WORST, "label"), Pair("sst2", "r", QUESTION, PLAIN, BAD, "label")]
    tokenizer.padding_side = "right"
    sides, _ = sides_of(tokenizer, pairs)
    loss = PairTrainer.compute_loss(None, model, dict(side_by_side(sides, int(tokenizer.pad_token_id))))

    def alone(text: str) -> float:
        return model(**tokenizer(QUESTION, text, return_tensors="pt")).logits.item()

    expected = [minus_log_sigmoid(alone(p.chosen) - alone(p.rejected)) for p in pairs]
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_margins_are_chosen_less_rejected(bert: Path):
    tokenizer = load_tokenizer(Model(kind="encoder", path=str(bert)))
    model = encoder.with_head(Model(kind="encoder", path=str(bert)), 0, num_labels=1).eval()
    pad = int(tokenizer.pad_token_id)
    sides, _ = sides_of(tokenizer, [Pair("sst2", "r", QUESTION, GOOD, WORST, "label")])
    read, _ = read_as(tokenizer, [(QUESTION, GOOD), (QUESTION, WORST)])
    one, other = scores(model, read, pad, 8192)
    assert margins(model, sides, pad, 8192) == pytest.approx([one - other], abs=1e-6)
    assert one != other


# What is dropped, and counted --------------------------------------------------------------------------------------


def test_sides_that_are_cut_to_the_same_are_dropped_and_counted(bert: Path):
    tokenizer = load_tokenizer(Model(kind="encoder", path=str(bert)))
    long = " ".join(["good"] * 90)
    pairs = [
        Pair("sst2", "r", "the film", f"{long} {PLAIN}", f"{long} {WORST}", "label"),
        Pair("sst2", "r", "the film", PLAIN, WORST, "label"),
    ]
    tokenizer.model_max_length = 40
    sides, same = sides_of(tokenizer, pairs)
    assert ([s.pair for s in sides], same) == (pairs[1:], 1)
    tokenizer.model_max_length = 128
    assert sides_of(tokenizer, pairs)[1] == 0


def test_kinds_of_pairs_by_hand():
    kinds = [("label", "policy"), ("label", "supplied"), ("rationale", "supplied")]
    sides = [Sides(Pair("sst2", "r", "", "a", "b", kind, origin), None, None) for kind, origin in kinds]
    found = kinds_told_apart(sides, [1.0, -1.0, 2.0])
    assert {name: (one["n"], one["accuracy"]) for name, one in found.items()} == {
        "all": (3, 2 / 3), "label": (2, 0.5), "rationale": (1, 1.0), "policy": (1, 1.0),
    }  # fmt: skip


# The whole run -----------------------------------------------------------------------------------------------------


def test_a_run_learns_the_ranking_and_says_what_it_learnt_from(chain, tmp_path: Path):
    spec, data, stands_on = chain
    facts = reward_encoder.train(spec(pairs=1600), data, tmp_path / "out", stands_on)
    assert facts["ranked"]["train"]["rows"] == 20
    assert facts["ranked"]["train"]["ranks"] == {
        "unreadable": 20, "wrong alone": 0, "wrong with rationale": 20, "right alone": 0, "right with rationale": 20,
    }  # fmt: skip
    assert facts["ranked"]["train"]["pairs"] == 20 * 10  # five ranks a row: all pairs, no ties
    assert facts["ranked"]["train"]["dropped"] == {"equal": 0, "tie": 0, "cut alike": 0}
    assert facts["validation"] == pytest.approx(100 * facts["held_out"]["all"]["accuracy"])
    # so tiny an encoder tells readable answers, and those with a rationale, from others, and cannot tell whose label is right
    assert facts["held_out"]["rationale"]["accuracy"] == 1
    assert facts["held_out"]["all"]["accuracy"] > 0.75
    assert facts["held_out"]["policy"]["n"] == 8 * 3  # right over wrong, either over none
    assert (facts["prompts_seen"], facts["optimiser_steps"]) == (1600, 100)
    stored = read_jsonl(tmp_path / "out" / "responses.train.jsonl")
    assert Counter(line["rank"] for line in stored) == dict.fromkeys(range(5), 20)
    assert all(line["rank"] == rank(TASKS["sst2"], line["text"], str(int(line["row"][5:]) % 2)) for line in stored)


def test_a_response_scores_what_plain_transformers_calls_say(chain, tmp_path: Path):
    spec, data, stands_on = chain
    reward_encoder.train(spec(), data, tmp_path / "out", stands_on)
    model, tokenizer = load_reward_encoder(tmp_path / "out")
    read, cut = read_as(tokenizer, [(QUESTION, text) for text in (GOOD, PLAIN, f" {BAD} ", WORST)])
    found = scores(model, read, int(tokenizer.pad_token_id), 64)
    folder = tmp_path / "out" / "model"
    plain, words = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    expected = [plain(**words(QUESTION, t, return_tensors="pt")).logits.item() for t in (GOOD, PLAIN, BAD, WORST)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert cut == 0
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(chain, tmp_path: Path, how: str):
    spec, data, stands_on = chain
    run = spec(learning_rates=[1e-3, 1e-2])

    def train(checkpoint):
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return reward_encoder.train(run, data, tmp_path / "stopped", stands_on, checkpoint)

    undisturbed = reward_encoder.train(run, data, tmp_path / "whole", stands_on)
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 7, 15))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_replies_come_from_the_merged_model(chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rl4nlu import pairs

    spec, data, _ = chain
    monkeypatch.setattr(reward_encoder, "sampled", pairs.sampled)
    run = spec(prompts=2, replies=2)
    model, tokenizer = pairs.load_backbone(run.model_spec), load_tokenizer(run.model_spec)
    ranked = reward_encoder.ranked_responses(run, model, tokenizer, data, "train", 0)
    assert [one.question.row.id for one in ranked] == ["train0", "train1"]  # the first rows
    assert all([r.sampled for r in one.responses] == [True, True, False, False] for one in ranked)


# What does not fit -------------------------------------------------------------------------------------------------


def test_an_unknown_encoder_is_named(chain):
    spec, _, _ = chain
    with pytest.raises(
        ConfigError, match=r"reward_encoder\.encoder: unknown name 'tiny-bart' - did you mean 'tiny-bert'"
    ):
        spec(encoder="tiny-bart")
    with pytest.raises(ConfigError, match=r"unknown name 'tiny'"):  # a decoder
        spec(encoder="tiny")


def test_missing_rows_and_tasks_of_numbers_are_one_message(chain, tmp_path: Path):
    spec, data, stands_on = chain
    numbers = spec().model_copy(update={"train_tasks": (TASKS["stsb"],)})
    with pytest.raises(ConfigError, match="task stsb: ranks need label words"):
        reward_encoder.train(numbers, data, tmp_path / "out", stands_on)
    (data / "sst2" / "train.jsonl").write_text("")
    with pytest.raises(ConfigError, match="task sst2 has no train rows"):
        reward_encoder.train(spec(), data, tmp_path / "out", stands_on)
    with pytest.raises(ConfigError, match="holds no reward encoder"):
        load_reward_encoder(tmp_path)


def test_a_loss_that_is_no_number_is_one_message(chain, tmp_path: Path):
    spec, data, stands_on = chain
    with pytest.raises(ConfigError, match=r"training loss is (nan|inf).*reward_encoder\.learning_rates"):
        reward_encoder.train(spec(learning_rates=[1e30]), data, tmp_path / "out", stands_on)
