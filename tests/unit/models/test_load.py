import warnings

import pytest
import torch
from peft import PeftModel
from tiny_models import KINDS, byte_tokenizer, tiny_decoder

from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import Lora, Model, load_models
from rl4nlu.models.load import (
    add_lora,
    encode_answer,
    encode_chats,
    encode_prompts,
    end_tokens,
    load_adapter,
    load_backbone,
    load_tokenizer,
    locate,
    with_adapter,
)

TAG = "</Judgement>"


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    tiny_decoder("llama", 259).save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def logits(model, seed=0):
    ids = torch.randint(3, 200, (2, 9), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model(input_ids=ids).logits


def scramble(policy, seed=0):
    """Make an adapter do something: every trainable weight random."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.5)


def test_folders_are_found_from_the_checkout_and_by_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("src/rl4nlu") == str(REPOSITORY / "src" / "rl4nlu")
    assert locate(str(tmp_path)) == str(tmp_path.resolve())
    assert locate("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"
    for path in ("resources/micro/absent", "./absent", "/absent/model"):
        with pytest.raises(ConfigError, match="no such folder"):
            locate(path)


def test_a_folder_loads_in_its_precision_and_in_evaluation_mode(folder):
    tokenizer = load_tokenizer(Model(kind="decoder", path=str(folder), max_length=256))
    assert tokenizer.padding_side == "left"
    model = load_backbone(Model(kind="decoder", path=str(folder), max_length=256, dtype="bfloat16"))
    assert not model.training
    assert next(model.parameters()).dtype is torch.bfloat16
    with pytest.raises(ConfigError, match="max_length is 257, and it has 256 positions"):
        load_backbone(Model(kind="decoder", path=str(folder), max_length=257))


def test_faults_of_a_model_are_named(tmp_path, monkeypatch):
    (tmp_path / "hollow").mkdir()
    model = Model(kind="decoder", path=str(tmp_path / "hollow"))
    with pytest.raises(ConfigError, match=r"hollow.*tokenizer cannot be loaded"):
        load_tokenizer(model)
    with pytest.raises(ConfigError, match=r"hollow.*weights cannot be loaded"):
        load_backbone(model)


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("GatedRepoError", "gated.*HF_TOKEN"),
        ("RepositoryNotFoundError", "no such hub repository"),
        ("RevisionNotFoundError", "no revision 'abc'"),
        ("LocalEntryNotFoundError", "cannot be reached"),
    ],
)
def test_hub_faults_are_told_apart(monkeypatch, cause, advice):
    def refuse(*arguments, **settings):
        raise OSError("long story") from type(cause, (Exception,), {})()

    monkeypatch.setattr("rl4nlu.models.load.get_tokenizer_config", refuse)
    monkeypatch.setattr("rl4nlu.models.load.AutoModelForCausalLM.from_pretrained", refuse)
    model = Model(kind="decoder", path="owner/name", revision="abc")
    for load in (load_tokenizer, load_backbone):
        with pytest.raises(ConfigError, match=advice):
            load(model)


def test_padding_falls_back_on_the_end_token_with_a_word(tmp_path):
    byte_tokenizer(pad=False).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no padding token"):
        tokenizer = load_tokenizer(Model(kind="decoder", path=str(tmp_path)))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 1


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    tokenizer = byte_tokenizer(pad=False)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="neither a padding nor an end"):
        load_tokenizer(Model(kind="decoder", path=str(tmp_path)))


def test_lora_begins_as_the_backbone_and_its_start_depends_on_the_seed_alone(kind):
    before = logits(tiny_decoder(kind, 259))

    def start(seed, **over):
        torch.manual_seed(torch.seed())
        return add_lora(tiny_decoder(kind, 259), Lora(**over), seed)

    assert torch.equal(logits(start(0)), before)

    def weights(policy):
        return torch.cat([p.flatten() for n, p in policy.named_parameters() if "lora_A" in n])

    assert torch.equal(weights(start(3)), weights(start(3)))
    assert not torch.equal(weights(start(3)), weights(start(4)))


def test_lora_leaves_the_global_generator_alone():
    model = tiny_decoder("llama", 259)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    add_lora(model, Lora(), 5)
    assert torch.equal(torch.rand(3), expected)


def test_lora_targets():
    def targets(kind, choice):
        policy = add_lora(tiny_decoder(kind, 259), Lora(targets=choice), 0)
        return {n.split(".lora_A")[0].split(".")[-1] for n, _ in policy.named_parameters() if "lora_A" in n}

    assert targets("llama", "default") == {"q_proj", "v_proj"} == targets("qwen2", "default")
    assert targets("mpt", "default") == {"Wqkv"}
    assert targets("llama", ["k_proj"]) == {"k_proj"}
    assert "down_proj" in targets("llama", "all-linear")
    with pytest.raises(ConfigError, match="does not fit the architecture 'mpt'"):
        add_lora(tiny_decoder("mpt", 259), Lora(targets=["q_proj"]), 0)


def test_rank_stabilised_scale():
    plain, stable = (add_lora(tiny_decoder("llama", 259), Lora(rank=16, alpha=32, rslora=r), 0) for r in (False, True))

    def scale(policy):
        return {s for m in policy.modules() if hasattr(m, "lora_A") for s in m.scaling.values()}

    assert scale(plain) == {2.0}
    assert scale(stable) == {8.0}


@pytest.mark.parametrize("bias", ["none", "all"])
def test_a_backbone_survives_its_adapters_to_the_bit(kind, bias, tmp_path):
    for number in (0, 1):
        policy = add_lora(tiny_decoder(kind, 259), Lora(bias=bias), number)
        scramble(policy, number)
        policy.save_pretrained(tmp_path / str(number))
        torch.save(logits(policy), tmp_path / f"{number}.pt")
    backbone = tiny_decoder(kind, 259)
    weights = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    before = logits(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for number in (0, 1, 0):
            with with_adapter(backbone, tmp_path / str(number)) as policy:
                assert isinstance(policy, PeftModel)
                assert not policy.training
                assert torch.equal(logits(policy), torch.load(tmp_path / f"{number}.pt"))
                assert not torch.equal(logits(policy), before)
            assert torch.equal(logits(backbone), before)
            after = backbone.state_dict()
            assert after.keys() == weights.keys()
            assert all(torch.equal(after[name], weights[name]) for name in weights)
    with with_adapter(backbone, None) as same:
        assert same is backbone


def test_a_folder_without_an_adapter_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no adapter"):
        load_adapter(tiny_decoder("llama", 259), tmp_path)


def test_answers_are_tokenised_behind_the_tag():
    tokenizer = byte_tokenizer((TAG, "<Judgement>", " Yes"))
    assert tokenizer.decode(encode_answer(tokenizer, f" Yes {TAG}", "<Judgement>")) == f" Yes {TAG}"
    assert len(encode_answer(tokenizer, f" Yes {TAG}", "<Judgement>")) == 3  # " Yes", " ", the tag
    with pytest.raises(ConfigError, match="no tokens"):
        encode_answer(tokenizer, "", "<Judgement>")


def test_prompts_keep_the_start_token_and_lose_an_end_token():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    plain = tokenizer.encode("ab")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert encode_prompts(tokenizer, ["ab"]) == [[0, *plain]]
    assert encode_prompts(tokenizer, []) == []


def test_chat_prompts_go_through_the_template():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    turns = [("Describe\nPrompt:\nquery", "<Judgement>")]
    with pytest.raises(ConfigError, match="no chat template"):
        encode_chats(tokenizer, turns)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[model]"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    (ids,) = encode_chats(tokenizer, turns)
    assert (
        tokenizer.decode(ids) == "[user]Describe\nPrompt:\nquery[model]<Judgement>"
    )  # a template brings its own start token


def test_end_tokens_of_tokenizer_and_generation_settings():
    model = tiny_decoder("llama", 259)
    model.generation_config.eos_token_id = [7, 8]
    assert end_tokens(model, byte_tokenizer()) == {1, 7, 8}


@pytest.mark.parametrize("name", ["micro-llama", "micro-qwen2", "micro-mpt"])
def test_every_micro_model_reads_the_worlds_words_whole(name):
    """transformers gives Qwen2 a tokenizer class of its own, which would split the words into letters."""
    tokenizer = load_tokenizer(load_models()[name])
    assert len(tokenizer("the film was superb", add_special_tokens=False)["input_ids"]) == 4
