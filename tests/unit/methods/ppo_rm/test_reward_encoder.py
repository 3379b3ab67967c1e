"""The reward encoder: the loss by hand, scores against plain transformers calls, what is dropped, training and resuming."""

import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rl4nlu.base.errors import ConfigError, Diverged
from rl4nlu.base.files import REPOSITORY, read_jsonl, write_jsonl
from rl4nlu.config import Model, load_config
from rl4nlu.methods import encoder, replies
from rl4nlu.methods.ppo_rm import reward_encoder
from rl4nlu.methods.ppo_rm.ranking import Comparison, Response, rank
from rl4nlu.methods.ppo_rm.reward_encoder import (
    PairTrainer,
    Ranked,
    kinds_told_apart,
    load_reward_encoder,
    margins,
    rankings_of,
    read_as,
    scores,
    side_by_side,
)
from rl4nlu.methods.replies import Reply
from rl4nlu.models.load import load_tokenizer
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
MICRO = REPOSITORY / "resources" / "micro"
SENTENCE = "the film is good"
QUESTION = 'Is this review positive or negative ? "the film is good"'


def said(word: str, rationale: str = "") -> str:
    return f"{rationale} <Judgement> {word} </Judgement>".strip()


GOOD, PLAIN, BAD, WORST = (
    said("Positive", "The film is good."), said("Positive"), said("Negative", "The film is bad."), said("Negative"),
)  # fmt: skip


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
                for label in (row.label, other[row.label])
            ]
            + [Reply("The film", "", None)]
            for _, row in asked
        ]

    monkeypatch.setattr(reward_encoder, "sample_replies", replies)

    def spec(**settings):
        models = {
            "tiny": Model(kind="decoder", path="resources/micro/micro-llama"),
            "tiny-bert": Model(kind="encoder", path=str(bert), max_length=128),
        }
        values = {
            "encoder": "tiny-bert",
            "prompts": 20,
            "validation_prompts": 8,
            "rankings": 160,
            "learning_rates": [1e-2],
        }
        config = load_config({"reward_encoder": {**values, **settings}})
        return resolve(config, models, TASKS, Address("tiny", "reward-encoder", "sst2", "main", 0))

    return spec, tmp_path / "data", {"backbone": tmp_path / "merged"}


# The loss ----------------------------------------------------------------------------------------------------------


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def places(*pairs: tuple[int, int]) -> list[Comparison]:
    return [Comparison(better, worse, "label", False) for better, worse in pairs]


def ranked(*texts: str, pairs: list[Comparison], sentence: str = SENTENCE) -> Ranked:
    row = Row("r", {"sentence": sentence}, "1")
    return Ranked(TASKS["sst2"], row, [Response(text, 0, True) for text in texts], pairs)


@pytest.fixture
def read(bert: Path):
    """The tiny encoder under a new head, its tokenizer, and a function that says what plain transformers calls give."""
    entry = Model(kind="encoder", path=str(bert), max_length=128)
    tokenizer = load_tokenizer(entry)
    tokenizer.padding_side, tokenizer.model_max_length = "right", 128
    model = encoder.with_head(entry, 0, num_labels=1).eval()
    return model, tokenizer, lambda text: model(**tokenizer(QUESTION, text, return_tensors="pt")).logits.item()


def test_the_loss_by_hand():
    """Two rows of two pairs and of one: every row weighs a half."""
    logits = torch.tensor([[1.0], [-2.0], [0.5], [3.0], [1.0]])
    batch = {
        "better": torch.tensor([0, 2, 4]),
        "worse": torch.tensor([1, 0, 3]),
        "weight": torch.tensor([0.25, 0.25, 0.5]),
    }
    loss = PairTrainer.compute_loss(None, lambda **_: SimpleNamespace(logits=logits), batch)
    by_hand = (minus_log_sigmoid(3.0) + minus_log_sigmoid(-0.5)) / 4 + minus_log_sigmoid(-2.0) / 2
    assert loss.item() == pytest.approx(by_hand)


def test_a_batch_reads_every_response_once_and_pairs_it_with_the_others(read):
    """Its loss is that of the pairs by themselves, read by plain transformers calls."""
    model, tokenizer, alone = read
    one = ranked(GOOD, PLAIN, WORST, pairs=places((0, 1), (0, 2), (1, 2)))
    other = ranked(BAD, WORST, pairs=places((0, 1)))
    rankings = rankings_of(tokenizer, [one, other], Counter())
    batch = side_by_side(rankings, int(tokenizer.pad_token_id))
    assert len(batch["input_ids"]) == 5
    loss = PairTrainer.compute_loss(None, model, batch)
    g, p, b, w = (alone(text) for text in (GOOD, PLAIN, BAD, WORST))
    first = (minus_log_sigmoid(g - p) + minus_log_sigmoid(g - w) + minus_log_sigmoid(p - w)) / 3
    assert loss.item() == pytest.approx((first + minus_log_sigmoid(b - w)) / 2, rel=1e-5)


def test_margins_are_better_less_worse(read):
    model, tokenizer, alone = read
    rankings = rankings_of(tokenizer, [ranked(WORST, GOOD, pairs=places((1, 0))), ranked(PLAIN, BAD, pairs=places((0, 1)))], Counter())  # fmt: skip
    found = [margin for _, margin in margins(model, rankings, int(tokenizer.pad_token_id), 64)]
    expected = [alone(GOOD) - alone(WORST), alone(PLAIN) - alone(BAD)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert abs(expected[0]) > 1e-3


# What is dropped, and counted --------------------------------------------------------------------------------------


def test_responses_that_are_cut_to_the_same_make_no_pair_and_are_counted(read):
    _, tokenizer, _ = read
    long = " ".join(["good"] * 90)
    rows = [ranked(f"{long} {PLAIN}", f"{long} {WORST}", PLAIN, pairs=places((0, 1), (0, 2)))]
    tokenizer.model_max_length = 40
    dropped = Counter()
    (found,) = rankings_of(tokenizer, rows, dropped)
    assert (found.pairs, dropped) == (places((0, 2)), {"cut alike": 1})
    only = [ranked(f"{long} {PLAIN}", f"{long} {WORST}", pairs=places((0, 1)))]
    assert rankings_of(tokenizer, only, dropped) == []  # a row without a pair teaches nothing
    assert dropped == {"cut alike": 2}
    tokenizer.model_max_length = 128
    assert [one.pairs for one in rankings_of(tokenizer, rows, Counter())] == [places((0, 1), (0, 2))]


def test_kinds_of_pairs_by_hand():
    kinds = [("label", True), ("label", False), ("rationale", False)]
    pairs = [Comparison(0, 1, kind, own) for kind, own in kinds]
    found = kinds_told_apart(list(zip(pairs, [1.0, -1.0, 2.0], strict=True)))
    assert {name: (one["n"], one["accuracy"]) for name, one in found.items()} == {
        "all": (3, 2 / 3), "label": (2, 0.5), "rationale": (1, 1.0), "policy": (1, 1.0),
    }  # fmt: skip


# The whole run -----------------------------------------------------------------------------------------------------


def test_a_run_learns_the_ranking_and_says_what_it_learnt_from(chain, tmp_path: Path):
    spec, data, stands_on = chain
    facts = reward_encoder.train(spec(rankings=800), data, tmp_path / "out", stands_on)
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
    assert (facts["prompts_seen"], facts["optimiser_steps"], facts["pairs_seen"]) == (800, 100, 8000)
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
    assert all(c["tokens_trained"] == undisturbed["tokens_trained"] > 0 for c in undisturbed["candidates"])
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 7, 15))
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_replies_come_from_the_merged_model(chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rl4nlu.methods.rllr import pairs

    spec, data, _ = chain
    monkeypatch.setattr(reward_encoder, "sample_replies", replies.sample_replies)
    run = spec(prompts=2, replies=2)
    model, tokenizer = pairs.load_backbone(run.model_spec), load_tokenizer(run.model_spec)
    found = reward_encoder.collect_responses(run, model, tokenizer, data, "train", 0, Counter())
    assert [one.row.id for one in found] == ["train0", "train1"]  # the first rows
    assert all([r.sampled for r in one.responses][-2:] == [False, False] for one in found)
    assert all(1 <= sum(r.sampled for r in one.responses) <= 2 for one in found)


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
    with pytest.raises(
        Diverged, match=r"reward-encoder/sst2.*1e\+30.* training loss is (nan|inf); lower reward_encoder\."
    ):
        reward_encoder.train(spec(learning_rates=[1e30]), data, tmp_path / "out", stands_on)


def test_a_candidate_that_diverges_is_dropped_and_recorded(chain, tmp_path: Path):
    spec, data, stands_on = chain
    facts = reward_encoder.train(spec(learning_rates=[1e30, 1e-2], rankings=16), data, tmp_path / "out", stands_on)
    assert facts["learning_rate"] == 1e-2
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}
