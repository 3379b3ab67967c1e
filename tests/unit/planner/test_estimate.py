"""The planner against what is real: models' parameters, PEFT, torch's FLOP counter, autograd's saved tensors, caches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, DynamicCache
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import SUPPORTING_METHODS, TRAINED_METHODS, Config, Lora, Model, load_config, load_models, read_yaml
from rl4nlu.models.load import lora_config
from rl4nlu.planner import estimate as plan
from rl4nlu.planner import shapes
from rl4nlu.planner.costs import Machine, Piece, asking_memory, encoding_memory, graph_bytes, tuning_memory
from rl4nlu.planner.estimate import Lengths, Plan, evaluating, optimising, training
from rl4nlu.planner.shapes import (
    Shape,
    forward_flops,
    kv_bytes,
    lora_parameters,
    parameters,
    read_shape,
    saved_bytes,
    shape_of,
    training_flops,
)
from rl4nlu.runs.grid import open_grid
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.tasks.task import load_tasks

HUB = read_yaml(REPOSITORY / "resources" / "planning.yaml")["models"]
SHIPPED = ("micro-llama", "micro-qwen2", "micro-mpt", "micro-bert-base", "micro-bert-large")
NOWHERE = Path("/nonexistent")


def config_of(path: str, **changes):
    if path in HUB:
        values = {k: v for k, v in HUB[path].items() if k != "source"}
    else:
        values = json.loads((REPOSITORY / "resources" / "micro" / path / "config.json").read_text())
    return CONFIG_MAPPING[values.pop("model_type")](**{**values, **changes})


def model_of(config, **how):
    auto = AutoModel if config.model_type == "bert" else AutoModelForCausalLM
    return auto.from_config(config, **how)


def shape_like(config) -> Shape:
    shape = read_shape(config.to_dict())
    assert shape is not None
    return shape


def small(kind: str, **changes):
    """A random model of three layers, with grouped heads where the architecture has them."""
    size = {
        "vocab_size": 90,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 112,
    }
    if kind == "mpt":
        size = {"vocab_size": 90, "d_model": 48, "n_layers": 3, "n_heads": 4, "max_seq_len": 128}
    elif kind in ("llama", "qwen2"):
        size["num_key_value_heads"] = 2
    config = CONFIG_MAPPING[kind](**size, **changes)
    return config, model_of(config)


# Parameters


@pytest.mark.parametrize("path", [*SHIPPED, *HUB])
def test_parameters_are_those_of_the_real_model(path):
    config = config_of(path)
    with torch.device("meta"):
        model = model_of(config)
    assert parameters(shape_like(config)) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("daryl149/llama-2-7b-chat-hf", 6_738_415_616),
        ("Qwen/Qwen2.5-7B-Instruct", 7.61e9),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1.54e9),
        ("mosaicml/mpt-7b-chat", 6.65e9),
        ("google-bert/bert-base-cased", 110e6),
        ("google-bert/bert-large-cased", 340e6),
    ],
)
def test_hub_shapes_give_the_printed_sizes(path, printed):
    assert parameters(shape_like(config_of(path))) == pytest.approx(printed, rel=0.025)


def test_a_hand_counted_llama():
    # embedding 10*4; a layer: q 4*4, k and v 4*2 each, o 4*4, three MLP matrices 4*6, two norms 4; last norm 4
    shape = Shape("llama", 2, 4, 6, 2, 1, 2, 10, tied=True)
    assert parameters(shape) == 40 + 2 * (16 + 8 + 8 + 16 + 72 + 8) + 4


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mpt"])
@pytest.mark.parametrize("lora", [Lora(rank=3), Lora(rank=2, targets="all-linear"), Lora(rank=2, bias="all")])
def test_lora_parameters_are_pefts(kind, lora):
    config, model = small(kind)
    tuned = get_peft_model(model, lora_config(lora))
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    assert lora_parameters(shape_like(config), lora) == trained


# Memory


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mpt"])
def test_cache_bytes_are_those_of_a_real_cache(kind):
    config, model = small(kind)
    cache = model(input_ids=torch.zeros(2, 7, dtype=torch.long), past_key_values=DynamicCache(), use_cache=True)
    held = sum(t.nbytes for layer in cache.past_key_values.layers for t in (layer.keys, layer.values))
    assert 2 * 7 * kv_bytes(shape_like(config), 4) == held


def kept_by_autograd(model, forward) -> int:
    """Bytes of distinct storages that autograd saves in `forward`, the model's own apart."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor):
        if (at := tensor.untyped_storage().data_ptr()) not in own:
            kept[at] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = forward()
    assert out.requires_grad
    return sum(t.untyped_storage().nbytes() for t in kept.values())


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mpt"])
@pytest.mark.parametrize(
    ("dtype", "autocast", "dropout"),
    [("float32", False, 0.0), ("float32", False, 0.1), ("bfloat16", False, 0.0), ("bfloat16", True, 0.0)],
)
def test_activations_of_tuning_are_what_autograd_saves(kind, dtype, autocast, dropout):
    lora = Lora(rank=2, dropout=dropout)
    config, model = small(kind)
    tuned = get_peft_model(model.to(getattr(torch, dtype)), lora_config(lora), autocast_adapter_dtype=True)
    tuned.train(dropout > 0)
    ids = torch.randint(0, 90, (4, 40))
    trunk = tuned.get_base_model().base_model

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return trunk(input_ids=ids, use_cache=False).last_hidden_state

    estimate = 4 * 40 * saved_bytes(shape_like(config), dtype, 40, lora, autocast=autocast)
    # the first layer saves less, for the embedding needs no gradient; position tables are not counted
    assert estimate == pytest.approx(kept_by_autograd(tuned, forward), rel=0.08)


def test_activations_with_a_shared_prefix_are_what_autograd_saves():
    config, model = small("llama")
    lora = Lora(rank=2)
    tuned = get_peft_model(model, lora_config(lora)).eval()
    trunk = tuned.get_base_model().base_model

    def forward():
        past = trunk(input_ids=torch.randint(0, 90, (1, 30)), use_cache=True).past_key_values
        for layer in past.layers:
            layer.keys, layer.values = layer.keys.expand(6, -1, -1, -1), layer.values.expand(6, -1, -1, -1)
        return trunk(input_ids=torch.randint(0, 90, (6, 20)), past_key_values=past, use_cache=True).last_hidden_state

    piece = Piece(6, 50, 30, 0)
    assert piece.read == 30 + 6 * 20
    estimate = graph_bytes(shape_like(config), "float32", piece, lora, Machine(), dropout=False)
    assert estimate == pytest.approx(kept_by_autograd(tuned, forward), rel=0.08)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_of_an_encoder_are_what_autograd_saves(dropout):
    config, model = small("bert", hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    model.train()
    ids = torch.randint(0, 90, (4, 40))
    estimate = 4 * 40 * saved_bytes(shape_like(config), "float32", 40, None)
    assert estimate == pytest.approx(kept_by_autograd(model, lambda: model(input_ids=ids)[0]), rel=0.08)


def test_memory_grows_with_everything_that_it_should_grow_with():
    shape, lora = shape_like(config_of("Qwen/Qwen2.5-1.5B-Instruct")), Lora()

    def tuned(rows=8, length=300, rank=16, copies=3):
        piece = Piece(rows, length, 0, rows * 10)
        more = {"copies": copies, "dropout": False}
        return tuning_memory(shape, "bfloat16", [piece], Lora(rank=rank), Machine(gpu=True), **more).total

    for larger in ({"rows": 9}, {"length": 301}, {"rank": 17}, {"copies": 4}):
        assert tuned(**larger) > tuned()

    def asked(rows=64, length=300, budget=8192):
        return asking_memory(shape, "bfloat16", rows, length, 0, budget, Machine(gpu=True)).total

    assert asked(budget=16384) > asked() > asked(rows=8)
    assert (
        encoding_memory(shape, 8, 128, Machine()).total > encoding_memory(shape, 8, 128, Machine(), trains=False).total
    )
    assert Machine(gpu=True, quantised=True).weights(shape, "bfloat16") < Machine(gpu=True).weights(shape, "bfloat16")
    assert lora_parameters(shape, lora) < parameters(shape) / 500


# FLOPs


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mpt"])
def test_flops_of_forward_and_backward_are_torchs(kind):
    config, _ = small(kind)
    shape, lora = shape_like(config), Lora(rank=2)
    model = model_of(config, attn_implementation="eager")  # torch does not count the CPU's fused attention
    tuned = get_peft_model(model, lora_config(lora)).eval()
    with FlopCounterMode(display=False) as counted:
        logits = tuned(input_ids=torch.randint(0, 90, (2, 30)), use_cache=False).logits
    assert forward_flops(shape, 60, 30, 60, lora) == counted.get_total_flops()
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    both = counted.get_total_flops() + backward.get_total_flops()
    # the first layer's backward pass ends at its adapters
    assert training_flops(shape, 60, 30, 60, lora) == pytest.approx(both, rel=0.12)


def test_flops_of_an_encoder_are_torchs():
    config, _ = small("bert")
    model = model_of(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counted:
        model(input_ids=torch.randint(0, 90, (2, 30)))
    pooler = 2 * 2 * 48 * 48
    assert forward_flops(shape_like(config), 60, 30, 0) + pooler == counted.get_total_flops()


# Runs


def spec_of(method: str, model: str = "micro-llama", mixture: str = "rte", **values) -> RunSpec:
    config = load_config(values)
    return resolve(config, load_models(), load_tasks(), Address(model, method, mixture, "main", 0), ["rte"])


@pytest.mark.parametrize("method", ["sft", "ppo", "grpo"])
def test_work_is_proportional_to_prompts_and_candidates(method):
    def flops(prompts, rates):
        spec = spec_of(method, **{method: {"prompts": prompts, "learning_rates": [1e-3] * rates}})
        estimate = training(spec, NOWHERE)
        assert estimate is not None
        return estimate.work.flops

    once = flops(6400, 1)
    assert flops(6400, 2) == pytest.approx(2 * once)
    assert 1.8 * once < flops(12800, 1) < 2 * once  # validation stays


def test_grpo_reads_a_long_prompt_once_for_all_its_answers_and_a_short_one_with_each():
    def flops(method, length):
        spec = spec_of(method, grpo={"group_size": 8})
        lengths = Lengths(shared=0, mean=length, long=int(length), answer=4, train=100, validation=0, test=0)
        estimate = optimising(spec, shape_of(spec.model_spec), spec.settings, [lengths], Machine())
        assert estimate is not None
        return estimate.work.flops

    assert 1 < flops("grpo", 400.0) / flops("ppo", 400.0) < 1.5
    assert 7 < flops("grpo", 20.0) / flops("ppo", 20.0) < 9


def test_prepared_rows_are_used_where_they_exist(tmp_path):
    folder = tmp_path / "rte"
    folder.mkdir()
    spec = spec_of("sft")
    before = training(spec, tmp_path / "empty")
    row = {"id": "1", "fields": {"sentence1": "word " * 300, "sentence2": "word " * 300}, "label": "entailment"}
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(20)))
    (folder / "record.json").write_text(json.dumps({"rows": {"train": 20, "validation": 5, "test": 5}}))
    after = training(spec, tmp_path)
    assert before is not None
    assert after is not None
    assert after.memory.activations > 1.5 * before.memory.activations


def test_a_model_of_unknown_shape_stays_unknown():
    entry = Model(kind="decoder", path="nobody/no-such-model", dtype="bfloat16")
    spec = spec_of("sft").model_copy(update={"model_spec": entry})
    assert shape_of(entry) is None
    assert training(spec, NOWHERE) is None
    assert evaluating(spec, NOWHERE) is None
    assert Plan(NOWHERE).resources("training", spec) == {"gpu": 1, **plan.UNKNOWN}


def test_architectures_without_formulas_are_unknown():
    assert read_shape({"model_type": "mamba"}) is None


@pytest.mark.parametrize(
    ("method", "model", "gpu"),
    [("majority", "llama2-7b-chat", 0), ("zero-shot", "llama2-7b-chat", 1), ("zero-shot", "micro-llama", 0)],
)
def test_jobs_take_a_gpu_only_where_they_use_it(method, model, gpu):
    needs = Plan(NOWHERE).resources("evaluating", spec_of(method, model, "none"))
    assert needs["gpu"] == gpu
    assert needs["mem_mb"] >= 600
    assert needs["runtime"] >= 11


def test_full_size_encoders_take_a_gpu_and_embedded_ones_do_not():
    for model, gpu in (("bert-base", 1), ("micro-bert-large", 0)):
        assert Plan(NOWHERE).resources("training", spec_of("encoder", model))["gpu"] == gpu


def test_every_config_can_be_planned():
    for name in ("config", "smoke", "single-gpu", "paper"):
        config: Config = load_config(read_yaml(REPOSITORY / "config" / f"{name}.yaml"))
        for spec in open_grid(config).runs.values():
            if spec.method not in SUPPORTING_METHODS:
                estimate = evaluating(spec, NOWHERE)
                assert estimate is not None
                assert (estimate.memory.total > 0) == (spec.method not in ("majority", "random"))
            if spec.method in TRAINED_METHODS:
                trained = training(spec, NOWHERE)
                assert trained is not None
                assert trained.seconds(plan.Device(), spec.model_spec.dtype) > 0 or spec.method == "merged-backbone"


# The command


def planned(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rl4nlu", "plan", *arguments], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_the_paper_fits_an_80_gb_gpu_and_the_plan_says_what_it_costs():
    done = planned("--configfile", "config/paper.yaml")
    assert done.returncode == 0, done.stderr
    assert "GPU-hours" in done.stdout
    assert "Largest job" in done.stdout
    assert "train     ppo" in done.stdout


def test_what_does_not_fit_is_refused_with_advice():
    done = planned("--configfile", "config/paper.yaml", "--gpu-memory-gb", "40")
    assert done.returncode == 1
    assert "does not fit: train llama2-7b-chat/sft/multirc/main/seed0" in done.stderr
    assert "sft.micro_batch_size" in done.stderr
    assert "fits with evaluation.batch_tokens 32768" in done.stderr
    done = planned("--configfile", "config/paper.yaml", "--gpu-memory-gb", "12")
    assert done.returncode == 1
    assert "4-bit weights" in done.stderr
    assert "2 such GPUs" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpu-memory-gb", "0"), "not above 0"),
        (("--share", "2"), "at most 1"),
        (("--configfile", "config/papr.yaml"), "did you mean 'paper.yaml'"),
        (("--gpu-memory",), "--gpu-memory"),
    ],
)
def test_bad_arguments_get_one_clear_message(arguments, said):
    done = planned(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_imports_no_torch():
    code = (
        "import sys; from rl4nlu.planner.table import report; from rl4nlu.planner.estimate import Device; from rl4nlu.runs.grid import open_grid;"
        "from rl4nlu.config import *; from rl4nlu.base.files import REPOSITORY; c = load_config(read_yaml(REPOSITORY / 'config/paper.yaml'));"
        "report(c, open_grid(c), REPOSITORY / 'none', Device()); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shapes_are_read_from_the_hubs_cache(monkeypatch, tmp_path):
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps(AutoConfig.for_model("llama", vocab_size=77).to_dict()))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: str(tmp_path / "config.json"))
    shapes.shape_of.cache_clear()
    found = shape_of(Model(kind="decoder", path="somebody/cached"))
    shapes.shape_of.cache_clear()
    assert found is not None
    assert found.vocabulary == 77
