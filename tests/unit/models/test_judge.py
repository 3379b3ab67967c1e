"""Judges: what they read, their scores in whatever batch, and what cannot judge."""

import pytest
import torch
from scenes import scene_rows, scenes
from tiny_models import byte_tokenizer
from transformers import LlamaConfig, LlamaForSequenceClassification

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Model
from rl4nlu.models import judge as judges
from rl4nlu.models.judge import load_judge, write_judged

TASK = scenes(judge={"title": "Mood", "text_a": "{words} : {answer}", "text_b": "{prompt}"})
ROWS = scene_rows(5)
PROMPTS = [f"write of {row.fields['words']} :" for row in ROWS]
TEXTS = ["a dog", "", "a horse that runs and runs and runs", "cats", "dogs sleep at dawn"]


def save_classifier(folder, outputs=2, pad=2) -> Model:
    tokenizer = byte_tokenizer(pad=pad is not None)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=pad, num_labels=outputs, initializer_range=0.3, **size)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(kind="classifier", path=str(folder), max_length=64)


def scores(model, rows=ROWS, prompts=PROMPTS, texts=TEXTS):
    return load_judge(model).scores(TASK, rows, prompts, texts)


def test_a_judge_reads_what_the_task_says():
    assert write_judged(TASK, ROWS[0], "the prompt", "the answer") == ("dog run : the answer", "the prompt")
    single = scenes(judge={"title": "Mood", "text_a": "{prompt} {answer}"})
    assert write_judged(single, ROWS[0], "write :", "{words}") == ("write : {words}", None)


def test_scores_are_probabilities_and_do_not_depend_on_the_batch(tmp_path, monkeypatch):
    model = save_classifier(tmp_path)
    together = scores(model)
    alone = [scores(model, [row], [p], [t])[0] for row, p, t in zip(ROWS, PROMPTS, TEXTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-6)
    monkeypatch.setattr(judges, "BATCH", 2)
    assert scores(model) == pytest.approx(together, abs=1e-6)
    other = model.model_copy(update={"positive": 0})
    assert [a + b for a, b in zip(together, scores(other), strict=True)] == pytest.approx([1.0] * 5)
    assert len({round(score, 4) for score in together}) == 5


@pytest.mark.filterwarnings("ignore:.*no padding token")
def test_a_classifier_without_a_padding_token_judges_batches_all_the_same(tmp_path):
    with_pad, without = (scores(save_classifier(tmp_path / str(pad), pad=pad)) for pad in (2, None))
    assert without == pytest.approx(with_pad, abs=1e-6)


def test_a_reward_model_gives_its_output(tmp_path):
    model = save_classifier(tmp_path, outputs=1)
    with pytest.raises(ConfigError, match="score is probability, and it has one output; set it to logit"):
        scores(model.model_copy(update={"positive": 0}))
    found = scores(model.model_copy(update={"positive": 0, "score": "logit"}))
    assert min(found) < 0 or max(found) > 1


def test_a_judge_is_loaded_once_and_frozen(tmp_path):
    judge = load_judge(save_classifier(tmp_path))
    assert load_judge(Model(kind="classifier", path=str(tmp_path), max_length=64)) is judge
    assert not judge.network.training
    assert not any(parameter.requires_grad for parameter in judge.network.parameters())


def test_a_long_text_loses_its_start(tmp_path):
    model = save_classifier(tmp_path)
    single = scenes(judge={"title": "Mood", "text_a": "{prompt} {answer}"})
    judge = load_judge(model)
    end = "x" * 100 + "the end"
    one, longer, other = judge.scores(single, ROWS[:3], ["", "", ""], [end, "y" * 100 + end, end + "!"])
    assert longer == pytest.approx(one)
    assert abs(other - one) > 1e-4


def test_an_output_that_is_not_there_is_named(tmp_path):
    model = save_classifier(tmp_path).model_copy(update={"positive": 2})
    with pytest.raises(ConfigError, match="positive is 2, and it has 2 outputs"):
        load_judge(model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_judge(Model(kind="classifier", path=str(tmp_path / "empty")))


def test_vader_judges_by_its_lexicon():
    pytest.importorskip("vaderSentiment")
    single = scenes(judge={"title": "Mood", "text_a": "{answer}"})
    good, bad, nothing = load_judge(Model(kind="classifier", path="vader")).scores(
        single, ROWS[:3], [""] * 3, ["a wonderful film", "a terrible film", ""]
    )
    assert good > 0.7
    assert bad < 0.3
    assert nothing == 0.5
