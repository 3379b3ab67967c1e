"""A tiny policy, a roll-out of six rows, and the smallest run there is: what tests of policy optimisation share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MptConfig,
    MptForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rl4nlu.config import Config, Lora, Model, PolicyOptimisation, Ppo
from rl4nlu.methods.rl.experience import Objective
from rl4nlu.methods.rl.loop import optimise
from rl4nlu.methods.rl.policy import Policy, ValueHead
from rl4nlu.methods.rl.rollout import Judgement, Prompt, RollOut
from rl4nlu.models.load import add_lora
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.reading import read_response
from rl4nlu.tasks.task import load_tasks

ARCHITECTURES = ["llama", "qwen2", "mpt", "gpt2", "gptj", "gpt_neox"]
VOCABULARY = 41


def backbone_of(architecture: str, dtype: torch.dtype = torch.float32, vocabulary: int = VOCABULARY) -> torch.nn.Module:
    torch.manual_seed(11)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    gpt = {"n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}
    if architecture == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(vocab_size=vocabulary, num_key_value_heads=2, max_position_embeddings=2048, **sizes)
        )
    elif architecture == "qwen2":
        model = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=vocabulary, num_key_value_heads=1, max_position_embeddings=2048, **sizes)
        )
    elif architecture == "gpt_neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=vocabulary, **sizes))
    elif architecture == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **gpt))
    elif architecture == "gptj":
        model = GPTJForCausalLM(GPTJConfig(vocab_size=vocabulary, rotary_dim=4, **gpt))
    else:
        model = MptForCausalLM(MptConfig(vocab_size=vocabulary, d_model=16, n_heads=2, n_layers=2, max_seq_len=256))
    with torch.no_grad():  # far enough from uniform for every check to bite
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model.to(dtype).eval()


def policy_of(architecture: str, dtype: torch.dtype = torch.float32, moved: bool = True) -> Policy:
    """A policy; `moved` away from its reference, value head included."""
    backbone = backbone_of(architecture, dtype)
    policy = Policy(add_lora(backbone, Lora(rank=3), 0).eval(), ValueHead(16, dtype))
    if moved:
        torch.manual_seed(5)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


PROMPTS = [
    [1, 5, 6, 7, 8, 9, 20],
    [1, 5, 6, 7, 30, 31, 32, 33, 34],
    [1, 5, 6, 7, 21],
    [1, 5, 6, 7, 9, 9],
    [1, 5, 6, 7, 8, 22],
    [1, 5, 6, 7, 4, 4, 4],
]
RESPONSES = [[11, 12, 2], [13], [14, 15, 16, 17], [11, 2], [39, 40, 2], [12]]
SCORES = [1.0, -1.0, -3.0, 1.0, 1.0, -1.0]
SETTINGS = Ppo(
    prompts=6, batch_size=6, minibatch_size=6, epochs=2, kl_coefficient=0.3, max_grad_norm=0.5, value_coefficient=0.4
)


def make_roll_out(prompts: Sequence[Prompt], responses: list[list[int]], texts: list[str] | None = None) -> RollOut:
    """A roll-out whose answers, rationales first, say `texts`."""
    texts = texts or [""] * len(responses)
    read = [read_response(p.task, text, response="rationale") for p, text in zip(prompts, texts, strict=True)]
    return RollOut(prompts, responses, texts, read)


def with_settings(**changes: object) -> Ppo:
    return Ppo.model_validate(SETTINGS.model_dump() | changes)


WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "Positive",
    "Negative",
    "</Judgement>",
    "<Judgement>",
    "good",
    "bad",
    "dull",
    "film",
    "\n",
    " ",
]


def tokenizer(pad: bool = True) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate([*WORDS, "<unk>"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?\w+>|\w+|\s|[^\w\s]"), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        **({"pad_token": "<pad>"} if pad else {}),
    )  # fmt: skip


def write_place(folder: Path, architecture: str = "llama", pad: bool = True) -> Path:
    """A folder with a tiny model and prepared rows of one task; without `pad` the model's end token pads (GPT-2)."""
    backbone_of(architecture, vocabulary=len(WORDS) + 1).save_pretrained(folder / "model")
    tokenizer(pad).save_pretrained(folder / "model")
    (folder / "data" / "sst2").mkdir(parents=True)
    for split, n in (("train", 24), ("validation", 6)):
        rows = [
            {"id": f"{split}{i}", "fields": {"sentence": f"{'good' if i % 2 else 'bad'} film"}, "label": str(i % 2),
             "group": None, "answers": None, "derivation": None} for i in range(n)
        ]  # fmt: skip
        (folder / "data" / "sst2" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def spec_of(place: Path, protocol: dict | None = None, **ppo_settings: object):
    settings = {
        "prompts": 24,
        "batch_size": 8,
        "minibatch_size": 4,
        "epochs": 2,
        "max_new_tokens": 3,
        "lora": {"rank": 2},
    }
    config = Config(ppo=Ppo(**(settings | ppo_settings)), protocol=protocol or {})
    model = Model(kind="decoder", path=str(place / "model"), max_length=256)
    return resolve(config, {"tiny": model}, load_tasks(), Address("tiny", "ppo", "sst2", "main", 1))


def learn_bandit(head: ValueHead | None, settings: PolicyOptimisation, objective: Objective) -> list[dict[str, Any]]:
    """History of a bandit that answers 640 times: one token, at first likely but not the likeliest, is worth +1, all others -1."""
    backbone = backbone_of("llama")
    policy = Policy(add_lora(backbone, Lora(rank=4, targets="all-linear"), 0).eval(), head)
    with torch.no_grad():
        backbone.lm_head.weight.mul_(4)  # the last norm bounds how sure the model can be
        wanted = int(policy.model(input_ids=torch.tensor([[1, 5, 6]])).logits[0, -1].topk(3).indices[2])
    task = load_tasks()["sst2"]
    prompts = [Prompt(task, None, [1, 5, 6]) for _ in range(640)]  # type: ignore[arg-type]
    chance = torch.Generator().manual_seed(0)

    def sample(batch: Sequence[Prompt]) -> RollOut:
        logits = policy.model(input_ids=torch.tensor([prompt.tokens for prompt in batch])).logits[:, -1]
        return make_roll_out(batch, torch.multinomial(logits.softmax(-1).detach(), 1, generator=chance).tolist())

    def reward(answers: RollOut) -> Judgement:
        scores = [1.0 if r[0] == wanted else -1.0 for r in answers.responses]
        return Judgement(scores, sum(scores) / len(scores))

    return optimise(policy, prompts, sample, reward, settings, 0.02, seed=0, objective=objective)
