"""PPO against reward models: rewards by hand, one backbone with many adapters, and the release's faults as switches."""

import copy

import pytest
import torch
from roll_outs import PROMPTS, RESPONSES, SCORES, backbone_of, make_roll_out
from torch import nn

from rl4nlu.base.checkpoint import NOT_SAVED, Checkpoint
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import write_json
from rl4nlu.config import Lora, Model, Rllr, load_config
from rl4nlu.methods.rl import loop, ppo
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.policy import Policy, ValueHead, forward, values
from rl4nlu.methods.rl.rewards import RunningMoments
from rl4nlu.methods.rl.rollout import Prompt
from rl4nlu.methods.rl.update import make_optimiser, update
from rl4nlu.methods.rllr import rllr
from rl4nlu.methods.rllr.reward_model import reward_head, save_reward
from rl4nlu.methods.rllr.rllr import by_models, choose_threshold, combined, quantile
from rl4nlu.models.load import add_lora
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
ROWS = len(PROMPTS)
SETTINGS = Rllr(
    prompts=ROWS, batch_size=ROWS, minibatch_size=ROWS, kl_coefficient=0.3, value_coefficient=0.4, max_grad_norm=0.5
)


def with_settings(**changes):
    return Rllr.model_validate(SETTINGS.model_dump() | changes)


def write_reward(folder, seed, backbone=None):
    """A reward model that has been moved away from its start, in `folder`."""
    model = add_lora(backbone or backbone_of("llama"), Lora(rank=3), seed)
    torch.manual_seed(seed + 50)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_reward(model, reward_head(16, torch.float32, seed), folder / "adapter")


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Folders that an rllr-mixed run stands on, and the run itself; the merged backbone is a tiny random one."""
    folders = {name: tmp_path / name for name in ("backbone", "label", "rationale")}
    backbone_of("llama").save_pretrained(folders["backbone"] / "model")
    write_reward(folders["label"], 1)
    write_reward(folders["rationale"], 2)
    models = {"tiny": Model(kind="decoder", path="unused", max_length=256)}

    def spec(method="rllr-mixed", **settings):
        values = SETTINGS.model_dump() | {"lora": {"rank": 4}} | settings
        config = load_config({"rllr": values, "reward_model": {"lora": values["lora"]}})
        return resolve(config, models, TASKS, Address("tiny", method, "sst2", "main", 0))

    return folders, spec


def moved(policy):
    """The policy's adapter away from its start, as after some steps."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in policy.adapter_parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def roll_out(policy, settings):
    return gather_experience(policy, PROMPTS, RESPONSES, ["a"] * ROWS, SCORES, 0.3, settings, ppo.PPO)


def gradients(policy, settings, objective=ppo.PPO):
    """Gradients of one update step by name: the optimiser only remembers them."""

    class Remember(torch.optim.SGD):
        def step(self, closure=None):
            seen.update({n: p.grad.clone() for n, p in named if p.grad is not None})

    named = [*policy.model.named_parameters(), *((f"head.{n}", p) for n, p in policy.head.named_parameters())]
    seen = {}
    experience, first = roll_out(policy, settings)
    update(policy, Remember(policy.parameters(), lr=0.0), experience, settings, torch.Generator(), objective, first)
    return seen, experience


# ------------------------------------------------------------------------------------------ rewards by hand


@pytest.mark.parametrize(
    ("label", "expected"), [(1.0, 0.5), (1.99, 1.49), (2.0, 1.5), (2.01, 1.5), (9.0, 1.5), (-4.0, -4.5)]
)
def test_mixed_reward_below_at_and_above_the_threshold(label, expected):
    assert combined(label, -0.5, "capped", 2.0) == pytest.approx(expected)


def test_the_combinations_differ_above_the_threshold_only_where_they_should():
    assert combined(3.0, 1.0, "capped", 2.0) == 3.0
    assert combined(3.0, 1.0, "sum", None) == 4.0
    assert combined(3.0, 1.0, "average", None) == 2.0


def test_running_moments_are_those_of_all_numbers():
    moments = RunningMoments()
    batches = [[1.0, 2.0], [5.0], [-3.0, 0.5, 0.25]]
    for number, batch in enumerate(batches, 1):
        found = moments.normalise(batch)
        together = torch.tensor([x for b in batches[:number] for x in b], dtype=torch.float64)
        expected = (torch.tensor(batch, dtype=torch.float64) - together.mean()) / (together.std() + 1e-8)
        assert found == pytest.approx(expected.tolist())


def test_quantiles_between_steps():
    assert [quantile([0.0, 1.0, 3.0], q) for q in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 2, 3]


def test_the_threshold_is_the_configs_or_a_quantile_of_right_scores(tmp_path):
    write_json(tmp_path / "run.json", {"facts": {"right_scores": [1.0, 2.0, 4.0]}})
    assert choose_threshold(with_settings(threshold=0.7), tmp_path) == 0.7
    assert choose_threshold(with_settings(), tmp_path) == 2.0
    assert choose_threshold(with_settings(threshold_quantile=0.75), tmp_path) == 3.0
    write_json(tmp_path / "run.json", {"facts": {"right_scores": []}})
    with pytest.raises(ConfigError, match="no held-out right responses to choose tau from"):
        choose_threshold(with_settings(), tmp_path)


# ------------------------------------------------------------------------------------------ one backbone, many adapters


def test_the_reference_kl_is_exactly_zero_before_the_first_step(chain):
    folders, spec = chain
    policy, _ = rllr.build_rewarded_policy(spec(), folders)
    experience, _ = roll_out(policy, SETTINGS)
    assert torch.equal(experience.kl, torch.zeros_like(experience.kl))
    experience, _ = roll_out(moved(policy), SETTINGS)
    assert experience.kl.abs().max() > 0.01


def test_the_critic_stays_trainable_whatever_was_switched_on(chain):
    """PEFT freezes what it switches off."""
    folders, spec = chain
    policy, _ = rllr.build_rewarded_policy(spec(), folders)
    before = len(policy.parameters())
    for context in (policy.reference, policy.as_critic, lambda: policy.switched("label")):
        with context():
            pass
        assert len(policy.parameters()) == before
        trained = {n.split(".")[-2] for n, p in policy.model.named_parameters() if p.requires_grad}
        assert trained == {"default", "critic"}


def test_the_critic_starts_as_the_label_model_head_and_all(chain):
    folders, spec = chain
    policy, heads = rllr.build_rewarded_policy(spec(), folders)
    with torch.no_grad(), policy.as_critic():
        ours = values(policy, PROMPTS, RESPONSES)
    with torch.no_grad(), policy.switched("label"):
        theirs = values(Policy(policy.model, heads["label"], "critic"), PROMPTS, RESPONSES)
    assert torch.equal(ours, theirs)
    assert heads["label"] is not policy.head


def test_only_the_trained_adapters_change_by_a_bit(chain):
    folders, spec = chain
    run = spec()
    policy, heads = rllr.build_rewarded_policy(run, folders)
    moved(policy)
    before = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    fixed = copy.deepcopy({n: h.state_dict() for n, h in heads.items()})
    row = Row("r", {"sentence": "x"}, "1")
    prompts = [Prompt(TASKS["sst2"], row, tokens) for tokens in PROMPTS]
    reward = by_models(policy, heads, run.settings, 0.1, RunningMoments())
    loop.optimise(
        policy,
        prompts * 2,
        lambda batch: make_roll_out(batch, RESPONSES),
        reward,
        run.settings,
        1e-2,
        seed=0,
        objective=ppo.PPO,
    )
    changed = {n for n, p in policy.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if ".default." in n or ".critic." in n}
    for name, head in heads.items():
        assert all(torch.equal(value, fixed[name][key]) for key, value in head.state_dict().items())


def test_the_reward_of_a_roll_out_is_that_of_the_models_alone(chain):
    """Scores come from the reward models' adapters, whatever the policy has learnt, and are logged by label correctness."""
    folders, spec = chain
    run = spec(score_normalisation=False)
    policy, heads = rllr.build_rewarded_policy(run, folders)
    prompts = [
        Prompt(TASKS["sst2"], Row("r", {"sentence": "x"}, label), tokens)
        for label, tokens in zip("100111", PROMPTS, strict=True)
    ]
    texts = ["why <Judgement> Positive </Judgement>"] * 5 + ["none"]
    reward = by_models(policy, heads, run.settings, 0.1, RunningMoments())
    answers = make_roll_out(prompts, RESPONSES, texts)
    first = reward(answers)
    second = by_models(moved(policy), heads, run.settings, 0.1, RunningMoments())(answers)
    assert first == second
    alone = {}
    for name in ("label", "rationale"):
        with torch.no_grad(), policy.switched(name):
            hidden = [
                policy.model.get_base_model().base_model(torch.tensor([p + r])).last_hidden_state[:, -1]
                for p, r in zip(PROMPTS, RESPONSES, strict=True)
            ]
            alone[name] = [heads[name](state[None]).item() for state in hidden]
    expected = [min(a, 0.1) + b for a, b in zip(alone["label"], alone["rationale"], strict=True)]
    assert first.scores == pytest.approx(expected, abs=1e-5)
    right = [0, 3, 4]
    assert answers.right == [n in right for n in range(ROWS)]
    assert answers.unreadable == pytest.approx(1 / 6)
    assert first.more["label_reward_right"] == pytest.approx(sum(alone["label"][n] for n in right) / 3, abs=1e-5)
    assert first.reward == pytest.approx(sum(expected) / ROWS, abs=1e-5)
    uncapped = spec(score_normalisation=False, combination="sum").settings
    summed = by_models(policy, heads, uncapped, None, RunningMoments())(answers)
    both = [a + b for a, b in zip(alone["label"], alone["rationale"], strict=True)]
    assert summed.scores == pytest.approx(both, abs=1e-5)
    assert both != expected


def test_the_critics_gradient_is_that_of_a_critic_run_by_itself(chain):
    folders, spec = chain
    run = spec(max_grad_norm=None)
    policy, _ = rllr.build_rewarded_policy(run, folders)
    found, experience = gradients(moved(policy), run.settings)

    alone = Policy(add_lora(backbone_of("llama"), Lora(rank=3), 0).eval(), None)
    critic = alone.model
    critic.load_adapter(str(folders["label"] / "adapter"), adapter_name="critic", is_trainable=True)
    critic.base_model.set_adapter("critic")
    head = rllr.load_head(folders["label"] / "adapter", 16, torch.float32)
    loss = 0.0
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        hidden = critic.get_base_model().base_model(torch.tensor([prompt + response])).last_hidden_state
        states = hidden[0, len(prompt) - 1 : -1]
        value, returns = head(states[None])[0], experience.returns[row, : len(response)]
        loss = loss + 0.5 * ((value - returns) ** 2).sum()
    (0.4 * loss / sum(map(len, RESPONSES))).backward()
    expected = {n: p.grad for n, p in critic.named_parameters() if p.grad is not None}
    expected |= {f"head.{n}": p.grad for n, p in head.named_parameters()}
    assert {n for n in found if ".default." not in n} == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


# ------------------------------------------------------------------------------------------ the release's faults


def test_checkpointing_across_a_switch_spoils_the_critics_gradients_alone(chain):
    """As in paper 2's release the policy's gradients and the head's stay as they were, those of the value adapter are wrong."""
    folders, spec = chain
    equal = {"lora": {"rank": 3}, "max_grad_norm": None}
    found = {}
    for how, objective in (("corrected", ppo.PPO), ("released", rllr.PPO_AS_RELEASED)):
        run = spec(value_gradients=how, **equal)
        policy, _ = rllr.build_rewarded_policy(run, folders)
        found[how], _ = gradients(moved(policy), run.settings, objective)
    for name, gradient in found["corrected"].items():
        same = torch.allclose(gradient, found["released"][name], rtol=1e-4, atol=1e-7)
        assert same == (".critic." not in name), name


def test_dropout_in_old_log_probabilities_moves_the_first_ratio(chain):
    """As in paper 2's release: without it the first step's ratio is one; with it old and new log-probabilities are two draws."""
    folders, spec = chain
    ratios = {}
    for noisy in (False, True):
        run = spec(dropout_in_logprobs=noisy, lora=Lora(rank=4, dropout=0.3 if noisy else 0.0).model_dump())
        policy, heads = rllr.build_rewarded_policy(run, folders)
        moved(policy)
        prompts = [Prompt(TASKS["sst2"], Row("r", {"sentence": "x"}, "1"), tokens) for tokens in PROMPTS]
        reward = by_models(policy, heads, run.settings, 0.1, RunningMoments())
        (row,) = loop.optimise(
            policy,
            prompts,
            lambda batch: make_roll_out(batch, RESPONSES),
            reward,
            run.settings,
            1e-3,
            seed=0,
            objective=ppo.PPO,
        )
        ratios[noisy] = row["approximate_kl"]
    assert ratios[False] == 0
    assert ratios[True] > 1e-6


def test_clipping_on_the_first_step_only_lets_later_gradients_pass(chain):
    folders, spec = chain
    found = {}
    for how in ("every-step", "first-step"):
        run = spec(clipping=how, max_grad_norm=1e-3, epochs=2)
        policy, _ = rllr.build_rewarded_policy(run, folders)
        moved(policy)
        norms = []
        optimiser = make_optimiser(policy, run.settings, 1e-3)
        optimiser.register_step_pre_hook(
            lambda o, *_, norms=norms: norms.append(
                nn.utils.get_total_norm(
                    [p.grad for g in o.param_groups for p in g["params"] if p.grad is not None]
                ).item()
            )
        )
        experience, first = roll_out(policy, run.settings)
        update(policy, optimiser, experience, run.settings, torch.Generator(), ppo.PPO, first)
        found[how] = norms
    assert found["every-step"] == pytest.approx([1e-3, 1e-3], rel=1e-2)
    assert found["first-step"][0] == pytest.approx(1e-3, rel=1e-2)
    assert found["first-step"][1] > 2e-3


# ------------------------------------------------------------------------------------------ keeping, stopping, settings


def optimise_with_scores(chain, scores, **settings):
    folders, spec = chain
    run = spec(prompts=ROWS * 4, evaluate_every=1, **settings)
    policy, heads = rllr.build_rewarded_policy(run, folders)
    prompts = [Prompt(TASKS["sst2"], Row("r", {"sentence": "x"}, "1"), tokens) for tokens in PROMPTS]
    reward = by_models(policy, heads, run.settings, 0.1, RunningMoments())
    weights, given = [], iter(scores)

    def validate():
        weights.append([p.detach().clone() for p in policy.parameters()])
        return next(given)

    history = loop.optimise(
        policy,
        prompts * 4,
        lambda batch: make_roll_out(batch, RESPONSES),
        reward,
        run.settings,
        1e-2,
        seed=0,
        objective=ppo.PPO,
        validate=validate,
    )
    return policy, history, weights


def test_the_best_weights_on_validation_are_kept_the_first_of_equals(chain):
    policy, history, weights = optimise_with_scores(chain, [50.0, 40.0, 60.0, 60.0, 55.0], keep="best")
    assert (history[-1]["kept_step"], history[-1]["kept_validation"]) == (2, 60.0)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), weights[2], strict=True))


def test_the_start_is_kept_where_nothing_was_better(chain):
    policy, history, weights = optimise_with_scores(chain, [70.0, 40.0, 60.0, 60.0, 55.0], keep="best")
    assert history[-1]["kept_step"] == 0
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), weights[0], strict=True))


def test_training_stops_when_patience_ends(chain):
    _, history, _ = optimise_with_scores(chain, [40.0, 39.0, 40.0, 99.0], patience=2)
    assert [row["validation"] for row in history] == [40.0, 39.0, 40.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "sft"}, "start: must be base"),
        ({"value_adapter": False, "value_gradients": "released"}, "needs value_adapter: true"),
        ({"keep": "best"}, "need evaluate_every above 0"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_config({"rllr": settings})


def test_a_shared_value_head_is_still_there(chain):
    folders, spec = chain
    policy, _ = rllr.build_rewarded_policy(spec(value_adapter=False), folders)
    assert policy.critic is None
    assert isinstance(policy.head, ValueHead)
    assert forward(policy, PROMPTS, RESPONSES, SETTINGS).value is not None


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(chain, tmp_path):
    """The running moments of the scores and the best weights so far are part of the saved state."""
    folders, spec = chain
    run = spec(prompts=ROWS * 4, evaluate_every=1, keep="best")
    prompts = [Prompt(TASKS["sst2"], Row("r", {"sentence": "x"}, "1"), tokens) for tokens in PROMPTS] * 4

    def go(checkpoint, scores):
        policy, heads = rllr.build_rewarded_policy(run, folders)
        moments, given = RunningMoments(), iter(scores)
        reward = by_models(policy, heads, run.settings, 0.1, moments)
        loop.optimise(
            policy, prompts, lambda batch: make_roll_out(batch, RESPONSES), reward, run.settings, 1e-2, seed=0, objective=ppo.PPO,
            validate=lambda: next(given), checkpoint=checkpoint, carried=[moments],
        )  # fmt: skip
        return policy.parameters()

    whole = go(NOT_SAVED, [1.0, 2.0, 1.0, 3.0, 1.0])
    with pytest.raises(StopIteration):  # the third validation never comes
        go(Checkpoint(tmp_path / "state", "d", every=0), [1.0, 2.0, 1.0])
    resumed = go(Checkpoint(tmp_path / "state", "d", every=0), [3.0, 1.0])
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
