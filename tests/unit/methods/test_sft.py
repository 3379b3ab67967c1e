"""SFT on tiny random decoders: the loss, what is trained, what is counted, what is left behind."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from peft import PeftModel
from scenes import save_tiny, scenes, scenes_spec, write_scenes
from tiny_models import KINDS, TRANSFORMING, byte_tokenizer, tiny_decoder

from rl4nlu.base.errors import ConfigError, Diverged
from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import Data, Evaluation, Lora, Model, Protocol, Sft
from rl4nlu.methods import sft
from rl4nlu.models.load import load_backbone, load_tokenizer
from rl4nlu.runs.spec import RunSpec
from rl4nlu.tasks.task import load_task

LORA = Lora(rank=4, alpha=8, targets="all-linear")
WORDS = ("<Judgement>", "</Judgement>", "Insert only", "Positive", "Negative", " sentence")


def save_decoder(folder: Path, kind: str = "llama") -> Path:
    tokenizer = byte_tokenizer(WORDS)
    tiny_decoder(kind, len(tokenizer), positions=1024, spread=0.08).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(data: Path, name: str, fields: list[dict[str, str]], labels: list[Any]) -> None:
    for split in ("train", "validation"):
        path = data / name / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": f"{split}:{i}", "fields": f, "label": label, "group": None, "answers": None, "derivation": None}
            for i, (f, label) in enumerate(zip(fields, labels, strict=True))
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sentiment(n: int) -> tuple[list[dict[str, str]], list[str]]:
    return [{"sentence": "good " * (i % 7) if i % 2 else "bad " * (1 + i % 5)} for i in range(n)], [
        str(i % 2) for i in range(n)
    ]


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of a tiny Llama and of prepared rows of SST-2 and STS-B."""
    write_rows(tmp_path / "data", "sst2", *sentiment(11))
    pairs = [{"sentence1": "a " * i, "sentence2": "b"} for i in range(1, 6)]
    write_rows(tmp_path / "data", "stsb", pairs, [0.0, 1.2, 2.5, 3.8, 5.0])
    return save_decoder(tmp_path / "llama"), tmp_path / "data"


def spec_of(
    model: Path, tasks: tuple[str, ...] = ("sst2",), protocol: Protocol | None = None, **settings: Any
) -> RunSpec:
    chosen = tuple(load_task(name) for name in tasks)
    return RunSpec(
        model="tiny",
        method="sft",
        mixture=tasks[0],
        variant="main",
        seed=3,
        model_spec=Model(kind="decoder", path=str(model), max_length=1024),
        train_tasks=chosen,
        eval_tasks=chosen,
        protocol=protocol or Protocol(),
        settings=Sft(**{"prompts": 18, "batch_size": 4, "lora": LORA, "learning_rates": [1e-2], **settings}),
        evaluation=Evaluation(),
        data=Data(),
        threads=1,
        bits="fast",
    )


def flat_examples(spec: RunSpec, data: Path, tokenizer: Any) -> tuple[list[list[sft.Example]], int]:
    """The sequences of every task, whatever row they are of."""
    pools, shortened = sft.examples(spec, data, tokenizer)
    return [[example for row in pool for example in row] for pool in pools], shortened


def brute_force(model: Any, chosen: list[sft.Example]) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens, row by row, from the whole logits."""
    losses = []
    for example in chosen:
        logp = model(input_ids=torch.tensor([example.tokens])).logits[0].float().log_softmax(-1)
        losses += [-logp[i - 1, example.tokens[i]] for i in range(example.prompt, len(example.tokens))]
    return torch.stack(losses).mean()


def trainer_of(spec: RunSpec, pool: list[sft.Example], tmp_path: Path, share: bool = True) -> tuple[Any, Any]:
    from datasets import Dataset

    tokenizer = load_tokenizer(spec.model_spec)
    assert isinstance(spec.settings, Sft)
    policy = sft.add_lora(load_backbone(spec.model_spec), spec.settings.lora, spec.seed)
    torch.manual_seed(1)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    collator = sft.Collator(pool, int(tokenizer.pad_token_id), share)  # type: ignore[arg-type]
    trainer = sft.AnswerTrainer(
        model=policy,
        args=sft.arguments(spec, 1e-2, 2, tmp_path / "out"),
        data_collator=collator,
        train_dataset=Dataset.from_dict({"example": list(range(len(pool)))}),
        processing_class=tokenizer,
    )
    return trainer, collator


@pytest.mark.parametrize("kind", KINDS + TRANSFORMING)
@pytest.mark.parametrize("share", [True, False])
def test_loss_and_gradients_equal_a_brute_force_cross_entropy(
    kind: str, share: bool, tmp_path: Path, world: Any
) -> None:
    model = save_decoder(tmp_path / kind, kind)
    spec = spec_of(model)
    pools, _ = flat_examples(spec, world[1], load_tokenizer(spec.model_spec))
    pool = pools[0]
    trainer, collator = trainer_of(spec, pool, tmp_path, share)
    batch = collator([{"example": i} for i in (0, 3, 4, 9)])
    assert ("prefix" in batch) == share
    trainable = [p for p in trainer.model.parameters() if p.requires_grad]
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch)
    gradients = torch.autograd.grad(loss, trainable)
    expected = brute_force(trainer.model, [pool[i] for i in (0, 3, 4, 9)])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, right in zip(gradients, torch.autograd.grad(expected, trainable), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


def test_an_end_token_that_also_pads_is_learnt(tmp_path: Path, world: Any) -> None:
    """GPT-2 has no padding token; where its end token stands for it, only padding is left out of the loss."""
    spec = spec_of(save_decoder(tmp_path / "gpt2", "gpt2"))
    pool = [sft.Example([5, 6, 7, 8, 1], 3), sft.Example([5, 6, 9, 1, 1], 2), sft.Example([5, 1], 1)]
    trainer, _ = trainer_of(spec, pool, tmp_path)
    loss = trainer.compute_loss(trainer.model, sft.Collator(pool, pad=1)([{"example": i} for i in range(3)]))
    assert loss.item() == pytest.approx(brute_force(trainer.model, pool).item(), rel=1e-5)


def test_the_head_sees_labelled_positions_only(tmp_path: Path, world: Any) -> None:
    spec = spec_of(world[0])
    (pool,), _ = flat_examples(spec, world[1], load_tokenizer(spec.model_spec))
    trainer, collator = trainer_of(spec, pool, tmp_path)
    seen: list[int] = []
    head = trainer.model.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape[:-1].numel()))
    trainer.compute_loss(trainer.model, collator([{"example": i} for i in range(4)]))
    assert seen == [sum(len(e.tokens) - e.prompt for e in pool[:4])]


def test_answers_are_label_words_behind_the_very_prompt_that_is_asked(world: Any) -> None:
    spec = spec_of(world[0], ("sst2", "stsb"))
    tokenizer = load_tokenizer(spec.model_spec)
    (words, numbers), shortened = flat_examples(spec, world[1], tokenizer)
    assert shortened == 0
    assert tokenizer.decode(words[0].tokens[words[0].prompt :]) == " Negative </Judgement>"
    assert tokenizer.decode(words[1].tokens[words[1].prompt :]) == " Positive </Judgement>"
    assert tokenizer.decode(numbers[3].tokens[numbers[3].prompt :]) == " 3.8 </Judgement>"
    assert tokenizer.decode(words[0].tokens[: words[0].prompt]).endswith("Assistant:\n<Judgement>")


def test_protocol_switches_change_wording_and_label(world: Any) -> None:
    tokenizer = load_tokenizer(spec_of(world[0]).model_spec)

    def text(protocol: Protocol) -> str:
        (pool,), _ = flat_examples(spec_of(world[0], protocol=protocol), world[1], tokenizer)
        return str(tokenizer.decode(pool[0].tokens))

    task = load_task("sst2")
    assert task.sft_description is not None
    plain = text(Protocol())
    assert task.description in plain
    released = text(Protocol(sst2_negative="No"))
    assert released == plain.replace(" Negative </Judgement>", " No </Judgement>")
    separate = text(Protocol(sft_prompt="separate"))
    assert task.sft_description in separate
    assert task.description not in separate


def test_a_row_that_is_too_long_is_shortened_and_counted(world: Any) -> None:
    fields, labels = sentiment(6)
    fields[2] = {"sentence": "long words " * 300}
    write_rows(world[1], "sst2", fields, labels)
    spec = spec_of(world[0])
    tokenizer = load_tokenizer(spec.model_spec)
    with pytest.warns(UserWarning, match="1 of 6 rows were shortened"):
        (pool,), shortened = flat_examples(spec, world[1], tokenizer)
    assert shortened == 1
    assert max(len(e.tokens) for e in pool) <= 1024
    assert tokenizer.decode(pool[2].tokens).endswith("<Judgement> Negative </Judgement>")


@pytest.fixture
def trained(world: Any, tmp_path: Path) -> tuple[RunSpec, dict[str, Any], Path, Path]:
    spec = spec_of(world[0])
    out = tmp_path / "run"
    out.mkdir()
    return spec, sft.train(spec, world[1], out), out, world[1]


def test_exactly_the_examples_that_are_asked_for_are_seen(trained: Any) -> None:
    spec, facts, out, data = trained
    (pool,), _ = flat_examples(spec, data, load_tokenizer(spec.model_spec))
    assert facts["prompts_seen"] == 18
    assert facts["optimiser_steps"] == 5
    assert facts["tokens_generated"] == 0
    assert facts["tokens_answered"] == 18 * (len(pool[0].tokens) - pool[0].prompt)
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5]
    assert [row["examples"] for row in history] == [4, 8, 12, 16, 18]
    assert all(row["learning_rate"] == 1e-2 for row in history)
    assert history[-1]["validation"] == facts["validation"]
    assert history[-1]["loss"] < history[0]["loss"]


def test_nothing_but_adapter_and_history_is_left(trained: Any) -> None:
    _, _, out, _ = trained
    assert sorted(p.name for p in out.iterdir()) == ["adapter", "history.jsonl"]
    assert sorted(p.name for p in (out / "adapter").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_the_adapter_is_an_ordinary_peft_folder_that_computes_what_was_trained(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world[0])
    kept: dict[str, torch.Tensor] = {}
    probe = torch.arange(3, 40)[None]
    genuine = sft.validation_score

    def spy(run: RunSpec, model: Any, *rest: Any) -> float:
        with torch.no_grad():
            model.eval()
            kept["logits"] = model(input_ids=probe).logits
            kept["base"] = torch.cat([p.flatten() for n, p in model.named_parameters() if "lora" not in n])
        return genuine(run, model, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "validation_score", spy)
        sft.train(spec, world[1], tmp_path)
    base = load_backbone(spec.model_spec)
    assert torch.equal(torch.cat([p.flatten() for p in base.parameters()]), kept["base"])
    with torch.no_grad():
        before = base(input_ids=probe).logits
        policy = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
        assert torch.equal(policy(input_ids=probe).logits, kept["logits"])
    assert (before - kept["logits"]).abs().max() > 1e-3


def test_the_same_seed_twice_gives_the_same_numbers_and_another_seed_does_not(world: Any, tmp_path: Path) -> None:
    def run(name: str, seed: int, dropout: float = 0.1) -> tuple[bytes, str]:
        lora = LORA.model_copy(update={"dropout": dropout})
        spec = spec_of(world[0], lora=lora).model_copy(update={"seed": seed})
        out = tmp_path / name
        sft.train(spec, world[1], out)
        return (out / "adapter" / "adapter_model.safetensors").read_bytes(), (out / "history.jsonl").read_text()

    first = run("a", 3)
    torch.rand(7)  # what the process drew before must not matter
    assert first == run("b", 3)
    assert first[0] != run("c", 4)[0]


@pytest.mark.parametrize("micro", [None, 2])
def test_a_step_minimises_the_mean_over_the_answer_tokens_of_its_whole_batch(
    world: Any, tmp_path: Path, micro: int | None
) -> None:
    spec = spec_of(world[0], ("sst2", "stsb"), prompts=6, batch_size=6, micro_batch_size=micro)
    pools, _ = flat_examples(spec, world[1], load_tokenizer(spec.model_spec))
    drawn = sft.draw([len(pool) for pool in pools], 6, spec.seed)
    sft.train(spec, world[1], tmp_path)
    (line,) = (tmp_path / "history.jsonl").read_text().splitlines()
    with torch.no_grad():  # a new adapter computes what the backbone does
        expected = brute_force(load_backbone(spec.model_spec), [[*pools[0], *pools[1]][i] for i in drawn])
    assert json.loads(line)["loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("micro", [1, 2])
def test_accumulated_micro_batches_equal_whole_batches(world: Any, tmp_path: Path, micro: int) -> None:
    from safetensors.torch import load_file

    weights = []
    for size in (None, micro):
        spec = spec_of(world[0], ("sst2", "stsb"), micro_batch_size=size, learning_rates=[1e-3])
        out = tmp_path / f"micro{size}"
        facts = sft.train(spec, world[1], out)
        assert facts["optimiser_steps"] == 5
        weights.append(load_file(out / "adapter" / "adapter_model.safetensors"))
        history = [json.loads(line)["loss"] for line in (out / "history.jsonl").read_text().splitlines()]
        weights[-1]["losses"] = torch.tensor(history)
    for name, whole in weights[0].items():
        torch.testing.assert_close(weights[1][name], whole, rtol=2e-3, atol=2e-5)


def test_cosine_warms_up_over_a_tenth_and_ends_at_a_tenth(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world[0], protocol=Protocol(schedule="cosine"), prompts=40, batch_size=2)
    sft.train(spec, world[1], tmp_path)
    rates = [json.loads(line)["learning_rate"] / 1e-2 for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(rates) == 20
    assert rates[0] == pytest.approx(0.5)
    assert rates[1] == pytest.approx(1)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_every_candidate_is_tried_from_the_same_start_and_the_best_is_kept(world: Any, tmp_path: Path) -> None:
    scores = iter([40.0, 70.0, 70.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "validation_score", lambda *_: next(scores))
        facts = sft.train(spec_of(world[0], learning_rates=[1e-5, 1e-2, 1e-4]), world[1], tmp_path / "three")
        patch.setattr(sft, "validation_score", lambda *_: 70.0)
        sft.train(spec_of(world[0], learning_rates=[1e-2]), world[1], tmp_path / "one")
    assert facts["learning_rate"] == 1e-2
    assert facts["validation"] == 70.0
    assert [c["learning_rate"] for c in facts["candidates"]] == [1e-5, 1e-2, 1e-4]
    assert all(c["tokens_trained"] == facts["tokens_trained"] > 0 == c["tokens_generated"] for c in facts["candidates"])
    assert all(c["seconds"] > 0 < c["cpu_seconds"] for c in facts["candidates"])
    adapter = "adapter/adapter_model.safetensors"
    assert (tmp_path / "three" / adapter).read_bytes() == (tmp_path / "one" / adapter).read_bytes()
    assert sorted(p.name for p in (tmp_path / "three").iterdir()) == ["adapter", "history.jsonl"]


def test_validation_on_the_way_is_recorded_and_changes_nothing(world: Any, tmp_path: Path) -> None:
    sft.train(spec_of(world[0]), world[1], tmp_path / "end")
    sft.train(spec_of(world[0], evaluate_every=2), world[1], tmp_path / "often")
    history = [json.loads(line) for line in (tmp_path / "often" / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in history if row["validation"] is not None] == [2, 4, 5]
    adapter = "adapter/adapter_model.safetensors"
    assert (tmp_path / "end" / adapter).read_bytes() == (tmp_path / "often" / adapter).read_bytes()


def test_a_loss_that_is_not_a_number_ends_in_one_message(world: Any, tmp_path: Path) -> None:
    with pytest.raises(
        Diverged, match=r"tiny.*every learning rate \(1e\+30\).* training loss is nan; lower sft\.learning_rates"
    ):
        sft.train(spec_of(world[0], learning_rates=[1e30], max_grad_norm=1e30, prompts=40), world[1], tmp_path)


def test_missing_rows_are_named(world: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rte"):
        sft.train(spec_of(world[0], ("rte",)), world[1], tmp_path)


def test_training_reports_nothing_and_asks_no_hub(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert (REPOSITORY / "wandb").exists() is False
    assert capsys.readouterr().out == ""


def test_a_candidate_that_diverges_is_recorded_and_loses(world: Any, tmp_path: Path) -> None:
    spec = spec_of(world[0], learning_rates=[1e30, 1e-2], max_grad_norm=1e30, prompts=40)
    facts = sft.train(spec, world[1], tmp_path)
    assert facts["learning_rate"] == 1e-2
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}
    assert sorted(p.name for p in tmp_path.iterdir() if p.name not in ("data", "llama")) == ["adapter", "history.jsonl"]


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("micro", [None, 2])
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(
    world: Any, tmp_path: Path, how: str, micro: int | None
) -> None:
    # dropout draws in every step; 30 steps a rate and 10 lines: some steps lie between two lines of history
    settings = {"prompts": 118, "micro_batch_size": micro, "evaluate_every": 7, "learning_rates": [1e-2, 3e-3]}
    spec = spec_of(
        world[0], lora=LORA.model_copy(update={"dropout": 0.2}), protocol=Protocol(schedule="cosine"), **settings
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(sft, "LINES", 10)

    def train(checkpoint: Any) -> Any:
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return sft.train(spec, world[1], tmp_path / "stopped", checkpoint)

    undisturbed = sft.train(spec, world[1], tmp_path / "whole")
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 10, 22))
    patch.undo()
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "adapter" / "adapter_model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_texts_are_learnt_behind_their_prompts_to_the_end_token(tmp_path: Path) -> None:
    spec, data = scenes_spec("sft", path=save_tiny(tmp_path / "tiny")), write_scenes(tmp_path / "data")
    tokenizer = load_tokenizer(spec.model_spec)
    (pool,), shortened = sft.examples(spec, data, tokenizer)
    assert ([len(row) for row in pool], shortened) == ([2] * 12, 0)
    written = [(tokenizer.decode(e.tokens[: e.prompt]), tokenizer.decode(e.tokens[e.prompt :])) for e in pool[0]]
    prompt = "write of dog run :"
    assert written == [(prompt, " the dog runs at 0 .</s>"), (prompt, " a dog can run .</s>")]
    short = scenes_spec("sft", scenes(most_tokens=4), path=tmp_path / "tiny")
    (pool,), _ = sft.examples(short, data, tokenizer)
    assert tokenizer.decode(pool[0][0].tokens[pool[0][0].prompt :]) == " the"


def test_sft_learns_from_the_rows_that_the_task_names(tmp_path: Path) -> None:
    data, path = write_scenes(tmp_path / "data"), save_tiny(tmp_path / "tiny")
    spec = scenes_spec("sft", scenes(supervised_on={"words": "cat sleep"}), path=path)
    (pool,), _ = sft.examples(spec, data, load_tokenizer(spec.model_spec))
    assert len(pool) == 1
    other = scenes_spec("sft", scenes(supervised_on={"words": "cow fly"}), path=path)
    with pytest.raises(ConfigError, match="supervised_on: none of 12 training rows has words 'cow fly'"):
        sft.examples(other, data, load_tokenizer(spec.model_spec))


def test_a_rows_references_are_learnt_in_turn() -> None:
    assert sft.take_in_turn([0, 2, 0, 1, 0, 2], [2, 1, 3]) == [0, 3, 1, 2, 0, 4]
    assert sft.take_in_turn([3, 1, 1, 0], [1, 1, 1, 1]) == [3, 1, 1, 0]


def test_sft_of_texts_is_scored_by_its_first_metric(tmp_path: Path) -> None:
    settings = {"prompts": 24, "batch_size": 6, "learning_rates": [1e-2, 1e-5], "lora": LORA.model_dump()}
    task = scenes(metrics=["perplexity", "rouge-l"])
    spec = scenes_spec("sft", task, path=save_tiny(tmp_path / "tiny"), sft=settings)
    facts = sft.train(spec, write_scenes(tmp_path / "data"), tmp_path)
    tried = {c["learning_rate"]: c["validation"] for c in facts["candidates"]}
    assert facts["learning_rate"] == 1e-2  # the lower perplexity
    assert 0 > tried[1e-2] > tried[1e-5]
