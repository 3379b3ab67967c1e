"""PPO against an independent brute-force implementation, and the properties that it promises."""

import copy
import itertools
import json
import math
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MptConfig,
    MptForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rl4nlu.answering.score import answer_logprobs
from rl4nlu.base.checkpoint import Checkpoint
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Config, Lora, Model, Ppo
from rl4nlu.methods.batches import PIECE_COST, cut, plan
from rl4nlu.methods.rl import experience, loop, ppo
from rl4nlu.methods.rl.experience import Experience, gather_experience
from rl4nlu.methods.rl.loop import TrainingError
from rl4nlu.methods.rl.policy import Policy, ValueHead, build_policy, forward, save_adapter
from rl4nlu.methods.rl.rewards import Judgement, Prompt
from rl4nlu.methods.rl.update import update
from rl4nlu.methods.schedule import rate_factor
from rl4nlu.models.load import add_lora, load_adapter, load_backbone
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks

ARCHITECTURES = ["llama", "qwen2", "mpt"]
VOCABULARY = 41


def backbone_of(architecture: str, dtype: torch.dtype = torch.float32, vocabulary: int = VOCABULARY) -> torch.nn.Module:
    torch.manual_seed(11)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    if architecture == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(vocab_size=vocabulary, num_key_value_heads=2, max_position_embeddings=2048, **sizes)
        )
    elif architecture == "qwen2":
        model = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=vocabulary, num_key_value_heads=1, max_position_embeddings=2048, **sizes)
        )
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


def with_settings(**changes: object) -> Ppo:
    return Ppo.model_validate(SETTINGS.model_dump() | changes)


def test_cosine_schedule():
    found = [rate_factor(step, 20, "cosine") for step in range(20)]
    assert found[:2] == [0.5, 1.0]
    assert found[10] == pytest.approx(0.55)  # half way down from 1 to .1
    assert found[-1] == pytest.approx(0.1)
    assert found[2:] == sorted(found[2:], reverse=True)
    assert {rate_factor(step, 20, "constant") for step in range(20)} == {1.0}
    assert rate_factor(0, 1, "cosine") == 1.0


# --------------------------------------------------------------------------------- forward pass


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_probabilities_do_not_depend_on_batch_padding_or_shared_prefix(architecture):
    policy = policy_of(architecture)
    together = forward(policy, PROMPTS, RESPONSES, SETTINGS)
    left_padded = answer_logprobs(policy.model, PROMPTS, RESPONSES)
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        alone = forward(policy, [prompt], [response], SETTINGS)
        logits = policy.model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        naive = logits.log_softmax(-1)[range(len(response)), response]
        for other in (alone.logp[0], naive, torch.tensor(left_padded[row])):
            assert torch.allclose(together.logp[row, : len(response)], other, atol=1e-5, rtol=0)
        assert torch.allclose(together.value[row, : len(response)], alone.value[0], atol=1e-5, rtol=0)


def test_log_probabilities_are_those_of_the_sampling_temperature():
    policy = policy_of("llama")
    found = forward(policy, PROMPTS[:1], RESPONSES[:1], with_settings(temperature=2.0, entropy_coefficient=0.1))
    logits = policy.model(input_ids=torch.tensor([PROMPTS[0] + RESPONSES[0]])).logits[0, len(PROMPTS[0]) - 1 : -1] / 2
    assert torch.allclose(found.logp[0], logits.log_softmax(-1)[range(3), RESPONSES[0]], atol=1e-5)
    assert torch.allclose(found.entropy[0], torch.distributions.Categorical(logits=logits).entropy(), atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kl_to_the_reference_is_exactly_zero_at_first(architecture):
    policy = policy_of(architecture, moved=False)
    experience, _ = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.discounted)
    assert torch.equal(experience.kl, torch.zeros_like(experience.kl))
    moved = policy_of(architecture)
    experience, _ = gather_experience(moved, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.discounted)
    assert experience.kl.abs().sum() > 0.01


lengths_and_groups = st.lists(st.tuples(st.integers(1, 90), st.sampled_from("abc")), min_size=1, max_size=40)


@given(lengths_and_groups, st.sampled_from([None, 1, 4]), st.integers(64, 400))
def test_plan_holds_every_row_once_within_its_bounds(rows, most, tokens):
    lengths, groups = [length for length, _ in rows], [group for _, group in rows]
    settings = Ppo(minibatch_size=64, micro_batch_size=most, micro_batch_tokens=tokens)
    pieces = plan(range(len(rows)), lengths, groups, settings)
    assert sorted(row for piece in pieces for row in piece) == list(range(len(rows)))
    for piece in pieces:
        assert len(piece) <= (most or len(piece))
        assert len(piece) == 1 or len(piece) * max(lengths[row] for row in piece) <= tokens


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8), st.sampled_from([None, 1, 4]), st.integers(64, 4000))
def test_no_other_cut_costs_less(lengths, most, tokens):
    settings = Ppo(minibatch_size=64, micro_batch_size=most, micro_batch_tokens=tokens)
    rows = sorted(range(len(lengths)), key=lambda row: lengths[row])

    def cost(pieces):
        return sum(len(piece) * lengths[piece[-1]] + PIECE_COST for piece in pieces)

    def allowed(piece):
        return len(piece) <= (most or 8) and (len(piece) == 1 or len(piece) * lengths[piece[-1]] <= tokens)

    costs = []
    for marks in itertools.product([False, True], repeat=len(rows) - 1):
        edges = [0, *(n for n, mark in enumerate(marks, 1) if mark), len(rows)]
        pieces = [rows[a:b] for a, b in itertools.pairwise(edges)]
        if all(map(allowed, pieces)):
            costs.append(cost(pieces))
    assert cost(cut(rows, lengths, settings)) == min(costs)


def test_plan_keeps_tasks_apart_where_that_pays():
    settings = Ppo(minibatch_size=64)
    groups = ["a", "b"] * 32
    assert len(plan(range(64), [200, 210] * 32, groups, settings)) == 2
    assert len(plan(range(4), [10, 12] * 2, groups, settings)) == 1
    assert len(plan(range(4), [600] * 4, [*"abcd"], settings)) == 1  # nothing to share


# ---------------------------------------------------------------- one update, done the naive way


def brute_force(policy: Policy, settings: Ppo, learning_rate: float, orders: list[list[int]]) -> None:
    """PPO on the six rows by definition: a row at a time, a token at a time, logits everywhere, no cache; plain SGD."""
    rows = range(len(PROMPTS))

    def per_token(row):
        prompt, response = PROMPTS[row], RESPONSES[row]
        out = policy.model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
        states = range(len(prompt) - 1, len(prompt) + len(response) - 1)
        logp = [torch.log_softmax(out.logits[0, s] / settings.temperature, -1) for s in states]
        weight, bias = policy.head.linear.weight[0], policy.head.linear.bias[0]
        values = [out.hidden_states[-1][0, s] @ weight + bias for s in states]
        entropies = [-(row_logp.exp() * row_logp).sum() for row_logp in logp]
        return [lp[token] for lp, token in zip(logp, response, strict=True)], values, entropies

    with torch.no_grad():
        old = [[[float(x) for x in part] for part in per_token(row)] for row in rows]
        with policy.model.disable_adapter():
            reference = [[float(x) for x in per_token(row)[0]] for row in rows]
    rewards = [
        [-settings.kl_coefficient * (new - ref) for new, ref in zip(old[row][0], reference[row], strict=True)]
        for row in rows
    ]
    for row in rows:
        rewards[row][-1] += SCORES[row]

    def normal(table, shift):
        flat = [x for row in table for x in row]
        mean = sum(flat) / len(flat)
        variance = sum((x - mean) ** 2 for x in flat) / (len(flat) - 1)
        return [[(x - mean) / math.sqrt(variance + 1e-8) + (0 if shift else mean) for x in row] for row in table]

    if settings.whiten_rewards:
        rewards = normal(rewards, shift=False)
    advantages = []
    for row in rows:
        values, found = old[row][1], []
        for t in range(len(values)):  # the sum that GAE abbreviates
            total = 0.0
            for k in range(t, len(values)):
                following = values[k + 1] if k + 1 < len(values) else 0.0
                total += (settings.gamma * settings.gae_lambda) ** (k - t) * (
                    rewards[row][k] + settings.gamma * following - values[k]
                )
            found.append(total)
        advantages.append(found)
    returns = [[a + v for a, v in zip(advantages[row], old[row][1], strict=True)] for row in rows]
    if settings.whiten_advantages:
        advantages = normal(advantages, shift=True)

    parameters = policy.parameters()
    for order in orders:
        for start in range(0, len(order), settings.minibatch_size):
            minibatch = order[start : start + settings.minibatch_size]
            terms, ratios = [], []
            for row in minibatch:
                logp, values, entropies = per_token(row)
                for t in range(len(logp)):
                    a, v0 = advantages[row][t], old[row][1][t]
                    ratio = torch.exp(logp[t] - old[row][0][t])
                    bounded = torch.clamp(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
                    surrogate = torch.min(ratio * a, bounded * a)
                    clipped = torch.clamp(values[t], v0 - settings.clip_range_value, v0 + settings.clip_range_value)
                    error = torch.max((values[t] - returns[row][t]) ** 2, (clipped - returns[row][t]) ** 2) / 2
                    terms.append(
                        -surrogate + settings.value_coefficient * error - settings.entropy_coefficient * entropies[t]
                    )
                    ratios.append(ratio)
            for parameter in parameters:
                parameter.grad = None
            (sum(terms) / len(terms)).backward()
            if settings.ratio_threshold is not None and sum(ratios) / len(ratios) > settings.ratio_threshold:
                continue
            if settings.max_grad_norm is not None:
                norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters))
                for parameter in parameters:
                    parameter.grad *= min(1.0, settings.max_grad_norm / (norm + 1e-6))
            with torch.no_grad():
                for parameter in parameters:
                    parameter -= learning_rate * parameter.grad


VARIANTS = {
    "plain": {},
    "minibatches": {"minibatch_size": 2, "epochs": 3},
    "pieces": {"micro_batch_size": 2},
    "raw advantages, tight clips, no gradient clipping": {
        "whiten_advantages": False, "clip_range": 0.02, "clip_range_value": 0.01, "max_grad_norm": None, "epochs": 4,
    },
    "white rewards, discounts": {"whiten_rewards": True, "gamma": 0.9, "gae_lambda": 0.7},
    "entropy, temperature": {"entropy_coefficient": 0.05, "temperature": 1.7},
    "steps skipped": {"ratio_threshold": 1.0001, "epochs": 4, "max_grad_norm": None},
}  # fmt: skip


CASES = [("llama", variant) for variant in VARIANTS] + [
    (a, v) for a in ("qwen2", "mpt") for v in ("plain", "minibatches")
]


@pytest.mark.parametrize(("architecture", "variant"), CASES)
def test_update_equals_brute_force(architecture, variant):
    settings = with_settings(**VARIANTS[variant])
    rate = 0.5 if settings.max_grad_norm else 0.02
    policy = policy_of(architecture, torch.float64)
    naive, before = copy.deepcopy(policy), copy.deepcopy(policy)

    chance = torch.Generator().manual_seed(3)
    experience, first = gather_experience(
        policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, settings.kl_coefficient, settings, ppo.discounted
    )
    update(policy, torch.optim.SGD(policy.parameters(), rate), experience, settings, chance, ppo.PPO, first)

    chance = torch.Generator().manual_seed(3)
    brute_force(naive, settings, rate, [torch.randperm(6, generator=chance).tolist() for _ in range(settings.epochs)])
    moved = 0.0
    for found, expected, old in zip(policy.parameters(), naive.parameters(), before.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-6, rtol=0)  # transformers normalises in float32
        moved = max(moved, float((found - old).detach().abs().max()))
    assert moved > 1e-3


def gradients(policy: Policy, settings: Ppo) -> list[torch.Tensor]:
    """What one pass over the rows asks of the parameters (SGD at rate 1 leaves its negative)."""
    before = [p.detach().clone() for p in policy.parameters()]
    experience, first = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, settings, ppo.discounted)
    update(
        policy,
        torch.optim.SGD(policy.parameters(), 1.0),
        experience,
        settings,
        torch.Generator().manual_seed(0),
        ppo.PPO,
        first,
    )
    return [old - new.detach() for old, new in zip(before, policy.parameters(), strict=True)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_accumulation_equals_one_batch(architecture):
    whole = gradients(policy_of(architecture, torch.float64), with_settings(epochs=1))
    for change in ({"micro_batch_size": 1}, {"micro_batch_tokens": 64}):
        pieces = gradients(policy_of(architecture, torch.float64), with_settings(epochs=1, **change))
        assert all(torch.allclose(a, b, atol=1e-6, rtol=0) for a, b in zip(whole, pieces, strict=True))
        assert max(float(a.abs().max()) for a in whole) > 1e-2


def test_first_forward_is_not_repeated(monkeypatch):
    calls = []
    for module in (experience, ppo):
        monkeypatch.setattr(module, "forward", lambda *arguments: calls.append(1) or forward(*arguments))
    for change, expected in (({}, 1 + 1 + 1), ({"micro_batch_size": 3}, 2 + 2 + 4)):  # reference, policy, two epochs
        calls.clear()
        gradients(policy_of("llama"), with_settings(epochs=2, **change))
        assert len(calls) == expected


def test_a_minibatch_whose_ratio_explodes_is_skipped():
    policy = policy_of("llama")
    experience, _ = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.discounted)
    far = Experience(**{**vars(experience), "logp": experience.logp - 90})  # its exponential is infinite
    before = [p.detach().clone() for p in policy.parameters()]
    found = update(
        policy, torch.optim.SGD(policy.parameters(), 1.0), far, SETTINGS, torch.Generator().manual_seed(0), ppo.PPO
    )
    assert found["skipped"] == 1
    assert found["loss"] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


# ------------------------------------------------------------------------------------ whole runs

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


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate([*WORDS, "<unk>"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?\w+>|\w+|\s|[^\w\s]"), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and prepared rows of one task."""
    folder = tmp_path_factory.mktemp("run")
    backbone_of("llama", vocabulary=len(WORDS) + 1).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
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
    model = Model(kind="decoder", path=str(place / "model"))
    return resolve(config, {"tiny": model}, load_tasks(), Address("tiny", "ppo", "sst2", "main", 1))


def run(place: Path, out: Path, start_adapter: Path | None = None, **changes: object):
    facts = ppo.train(spec_of(place, **changes), place / "data", out, start_adapter)
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return facts, history


def test_the_same_seed_gives_the_same_numbers(place, tmp_path):
    first, second = (run(place, tmp_path / name, evaluate_every=2) for name in "ab")
    for history in (first[1], second[1]):
        assert [row["step"] for row in history] == [1, 2, 3]
        assert [row["validation"] is None for row in history] == [True, False, False]
        for row in history:
            del row["seconds"]
    assert first[1] == second[1]
    assert first[0]["validation"] == first[1][-1]["validation"]
    weights = [(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert first[1][0]["kl"] == 0
    assert first[1][-1]["kl"] != 0
    assert {k: first[0][k] for k in ("optimiser_steps", "prompts_seen")} == {"optimiser_steps": 12, "prompts_seen": 24}


def test_candidates_are_chosen_on_validation(place, tmp_path, monkeypatch):
    scores = iter([10.0, 30.0, 30.0])
    monkeypatch.setattr(loop, "validation_score", lambda *arguments: next(scores))
    facts, history = run(place, tmp_path, learning_rates=[1e-4, 2e-4, 3e-4])
    assert facts["learning_rate"] == 2e-4
    assert [c["validation"] for c in facts["candidates"]] == [10, 30, 30]
    assert history[-1]["learning_rate"] == 2e-4


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimiser": "adafactor", "value_learning_rate": None}, {"lora": {"rslora": True, "targets": "all-linear"}}],
)
def test_the_backbone_stays_as_it_was(place, tmp_path, changes, monkeypatch):
    policies = []
    monkeypatch.setattr(
        ppo, "build_policy", lambda *arguments: policies.append(build_policy(*arguments)) or policies[0]
    )
    run(place, tmp_path, protocol={"preset": "paper"}, **changes)
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
        ppo, "build_policy", lambda *arguments: policies.append(build_policy(*arguments)) or policies[0]
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


def test_only_the_new_adapter_and_the_value_head_are_trained(place, tmp_path):
    sft = add_lora(load_backbone(spec_of(place).model_spec), Lora(rank=3), 7)
    sft.save_pretrained(str(tmp_path))
    policy = build_policy(spec_of(place, start="sft"), tmp_path)
    with policy.reference():
        pass
    trained = {name for name, p in policy.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".default." in name for name in trained)
    save_adapter(policy, tmp_path / "again")
    assert {name for name, p in policy.model.named_parameters() if p.requires_grad} == trained


def test_sft_start_is_checked(place, tmp_path):
    with pytest.raises(ConfigError, match="no adapter to start from"):
        build_policy(spec_of(place, start="sft"))
    with pytest.raises(ConfigError, match="bias"):
        build_policy(spec_of(place, start="sft", lora={"bias": "all"}), tmp_path)


def test_a_loss_that_is_not_finite_names_run_and_step(place, tmp_path):
    with pytest.raises(TrainingError, match=r"tiny/ppo/sst2/main/seed1: roll-out \d+ of 3"):
        run(place, tmp_path, learning_rates=[1e30], max_grad_norm=None, optimiser="adafactor", ratio_threshold=None)


def test_reward_is_learned(place):
    """A bandit: one token, at first likely but not the likeliest, is worth +1, and all others -1."""
    backbone = backbone_of("llama")
    policy = Policy(add_lora(backbone, Lora(rank=4, targets="all-linear"), 0).eval(), ValueHead(16))
    with torch.no_grad():
        backbone.lm_head.weight.mul_(4)  # the last norm bounds how sure the model can be
        wanted = int(policy.model(input_ids=torch.tensor([[1, 5, 6]])).logits[0, -1].topk(3).indices[2])
    task = load_tasks()["sst2"]
    prompts = [Prompt(task, None, "", [1, 5, 6]) for _ in range(640)]  # type: ignore[arg-type]
    chance = torch.Generator().manual_seed(0)

    def sample(asked):
        logits = policy.model(input_ids=torch.tensor(asked)).logits[:, -1]
        return torch.multinomial(logits.softmax(-1).detach(), 1, generator=chance).tolist()

    def reward(batch, responses):
        scores = [1.0 if r[0] == wanted else -1.0 for r in responses]
        return Judgement(scores, scores.count(1.0) / len(scores), 0.0)

    settings = Ppo(prompts=640, batch_size=32, minibatch_size=32, learning_rates=[0.02], kl_coefficient=0.0)
    history = partial(loop.optimise, objective=ppo.PPO)(policy, prompts, sample, reward, settings, 0.02, seed=0)
    assert history[0]["accuracy"] < 0.3
    assert history[-1]["accuracy"] > 0.8


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
        return ppo.train(spec, place / "data", tmp_path / "stopped", adapter, checkpoint=checkpoint)

    undisturbed = ppo.train(spec, place / "data", tmp_path / "whole", adapter)
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
