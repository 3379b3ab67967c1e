"""PPO: ours beside TRL 0.11.4's `PPOTrainer.step`, which paper 1 ran on, and TRL's last (1.12.0, experimental).

The same RTE prompts, LoRA and objective: batches of 16, four updates a batch, eight new tokens.

Equality comes first. Given the same answers and starting weights, plain SGD leads ours and 0.11.4 to the same weights. In
1.12 the critic is a second, fully trained backbone: there the log-probabilities of policy and reference are compared,
and the advantages that follow from its values.

What is timed is whole batches: answers, rewards, update; and the update alone where a side has it apart (`step`). The
peers are spared the cost of a reward model: 1.12, which demands one, gets a module that costs nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    import torch

    from rl4nlu.methods.rl.rollout import RollOut

PINS = [
    "torch==2.13.0",
    "transformers==5.23.0",
    "peft==0.21.2",
    "accelerate==1.15.0",
    "datasets==5.2.0",
    "numpy==2.4.6",
]
BATCH, EPOCHS, NEW = 16, 4, 8
KL, GAMMA, LAMBDA, CLIP, CLIP_VALUE, VALUE = 0.2, 1.0, 0.95, 0.2, 0.2, 0.1
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
SGD_RATE = 0.03
"""Large, so that equal weights are no accident."""

Job = dict[str, Any]
"""model: folder; prompts: token ids; minibatch: prompts an update; and for the checks answers, values (a row each)."""


# 1. What the sides share ---------------------------------------------------------------------------------------------


def trained(adapter: Any, head: torch.nn.Linear | None = None) -> list[torch.nn.Parameter]:
    """The trained weights, in an order that is the same on every side; the critic of 1.12 is not among them."""
    named = sorted((name, parameter) for name, parameter in adapter.named_parameters() if "lora_" in name)
    return [parameter for _, parameter in named] + (list(head.parameters()) if head is not None else [])


def begin(parameters: list[torch.nn.Parameter]) -> None:
    """The same weights on every side: small, and away from the reference, so that the KL penalty acts."""
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.05, tuple(parameter.shape))))


def flat(parameters: list[torch.nn.Parameter]) -> list[float]:
    """All numbers, one after the other."""
    return [x for parameter in parameters for x in parameter.flatten().tolist()]


def judged(answers: list[list[int]]) -> list[float]:
    """Rewards by a rule that costs nothing: 1 or -1, by whether the tokens' sum is even."""
    return [1.0 - 2.0 * (sum(answer) % 2) for answer in answers]


def batches(rows: list[Any]) -> list[list[Any]]:
    """Rows in the batches of the run."""
    return [rows[n : n + BATCH] for n in range(0, len(rows), BATCH)]


# 2. Ours -------------------------------------------------------------------------------------------------------------


def our_policy(job: Job) -> tuple[Any, Any]:
    """The policy, begun, and its settings."""
    import torch

    from rl4nlu.config import Model, Ppo
    from rl4nlu.methods.rl.policy import Policy, ValueHead
    from rl4nlu.models.load import add_lora, load_backbone

    settings = Ppo.model_validate({
        "prompts": BATCH, "batch_size": BATCH, "minibatch_size": job["minibatch"], "epochs": EPOCHS, "max_new_tokens": NEW,
        "kl_coefficient": KL, "gamma": GAMMA, "gae_lambda": LAMBDA, "clip_range": CLIP, "clip_range_value": CLIP_VALUE,
        "value_coefficient": VALUE, "max_grad_norm": None,
        "lora": {"rank": LORA["r"], "alpha": LORA["lora_alpha"], "targets": LORA["target_modules"]},
    })  # fmt: skip
    torch.set_num_threads(1)
    backbone = load_backbone(Model(kind="decoder", path=job["model"]))
    policy = Policy(add_lora(backbone, settings.lora, 0).eval(), ValueHead(backbone.config.hidden_size))
    begin(trained(policy.model, policy.head.linear))
    return policy, settings


def ours(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`ppo.optimise` on the prompts, as in a run of the workflow; the first batch warms up and is not timed."""
    import torch

    from rl4nlu.answering.generate import generate_tokens
    from rl4nlu.config import Model
    from rl4nlu.methods.rl.loop import optimise
    from rl4nlu.methods.rl.ppo import PPO
    from rl4nlu.methods.rl.rollout import Judgement, Prompt, RollOut
    from rl4nlu.models.load import load_tokenizer
    from rl4nlu.tasks.reading import Reading
    from rl4nlu.tasks.task import load_task

    policy, settings = our_policy(job)
    tokenizer, task = load_tokenizer(Model(kind="decoder", path=job["model"])), load_task("rte")
    chance, sampling = torch.Generator().manual_seed(0), measure.Clock()

    def sample(batch: Any) -> RollOut:
        tokens = [prompt.tokens for prompt in batch]
        with sampling:
            responses = generate_tokens(
                policy.model, tokens, tokenizer=tokenizer, max_new_tokens=NEW, sample=True, generator=chance
            )
        unread = [Reading("", None, "empty")] * len(batch)
        return RollOut(batch, responses, [""] * len(batch), unread)

    def run(rows: list[list[int]]) -> None:
        asked: Any = [Prompt(task, None, tokens) for tokens in rows]  # type: ignore[arg-type]
        optimise(
            policy,
            asked,
            sample,
            lambda answers: Judgement(judged(answers.responses), 0.0),
            settings,
            1e-4,
            seed=0,
            objective=PPO,
        )

    run(job["prompts"][:BATCH])
    sampling.seconds = 0.0
    with clock:
        run(job["prompts"][BATCH:])
    return {"samples": len(job["prompts"]) - BATCH, "step": clock.seconds - sampling.seconds}


def our_step(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """One batch with the answers given, under SGD: the weights afterwards."""
    import torch

    from rl4nlu.methods.rl.experience import gather_experience
    from rl4nlu.methods.rl.ppo import PPO
    from rl4nlu.methods.rl.update import update

    policy, settings = our_policy(job)
    prompts, answers = job["prompts"], job["answers"]
    before = flat(trained(policy.model, policy.head.linear))
    with clock:
        experience, first = gather_experience(
            policy, prompts, answers, ["rte"] * len(prompts), judged(answers), KL, settings, PPO
        )
        optimiser = torch.optim.SGD(policy.parameters(), SGD_RATE)
        update(policy, optimiser, experience, settings, torch.Generator().manual_seed(3), PPO, first)
    return {"before": before, "after": flat(trained(policy.model, policy.head.linear))}


def our_advantages(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """Log-probabilities of the answers given, and the advantages that follow from the values given."""
    import torch

    from rl4nlu.methods.rl.experience import token_rewards, whiten
    from rl4nlu.methods.rl.policy import forward
    from rl4nlu.methods.rl.ppo import gae

    policy, settings = our_policy(job)
    with clock, torch.no_grad():
        logp = forward(policy, job["prompts"], job["answers"], settings).logp
        with policy.reference():
            reference = forward(policy, job["prompts"], job["answers"], settings).logp
    mask, values = torch.ones_like(logp), torch.tensor(job["values"])
    rewards = token_rewards(torch.tensor(judged(job["answers"])), logp - reference, mask, KL)
    advantages = whiten(gae(rewards, values, mask, GAMMA, LAMBDA), mask)
    return {"logp": logp.tolist(), "reference": reference.tolist(), "advantages": advantages.tolist()}


# 3. TRL 0.11.4 -------------------------------------------------------------------------------------------------------


def old_trainer(job: Job, sgd: bool) -> Any:
    """Its trainer, begun; TRL's defaults otherwise. Padding on the right, as `step` expects."""
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerFast
    from trl import AutoModelForCausalLMWithValueHead, PPOConfig, PPOTrainer

    torch.set_num_threads(1)
    model = AutoModelForCausalLMWithValueHead.from_pretrained(
        job["model"], peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"), dtype=torch.float32
    )
    begin(trained(model.pretrained_model, model.v_head.summary))
    config = PPOConfig(
        batch_size=len(job["prompts"]) if sgd else BATCH, mini_batch_size=job["minibatch"], ppo_epochs=EPOCHS,
        learning_rate=1e-4, adap_kl_ctrl=False, init_kl_coef=KL, gamma=GAMMA, lam=LAMBDA, cliprange=CLIP,
        cliprange_value=CLIP_VALUE, vf_coef=VALUE,
    )  # fmt: skip
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job["model"], padding_side="right")
    return PPOTrainer(config, model, None, tokenizer, optimizer=torch.optim.SGD(wanted, SGD_RATE) if sgd else None)


def old_step(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`our_step` by `PPOTrainer.step`, its minibatches in the order of ours."""
    import numpy as np
    import torch

    trainer = old_trainer(job, sgd=True)
    chance = torch.Generator().manual_seed(3)
    np.random.permutation = lambda n: torch.randperm(n, generator=chance).numpy()
    asked, answered = ([torch.tensor(row) for row in rows] for rows in (job["prompts"], job["answers"]))
    with clock:
        trainer.step(asked, answered, [torch.tensor(score) for score in judged(job["answers"])])
    return {"after": flat(trained(trainer.model.pretrained_model, trainer.model.v_head.summary))}


def old(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """Its loop: `generate` (the whole batch at once), rewards, `step`; the first batch warms up and is not timed."""
    import torch

    trainer, stepping = old_trainer(job, sgd=False), measure.Clock()
    how = {"max_new_tokens": NEW, "do_sample": True, "top_k": 0, "top_p": 1.0, "pad_token_id": 2, "eos_token_id": 1}

    def run(rows: list[list[int]]) -> None:
        asked = [torch.tensor(row) for row in rows]
        answered = trainer.generate(asked, return_prompt=False, batch_size=BATCH, **how)
        scores = [torch.tensor(score) for score in judged([answer.tolist() for answer in answered])]
        with stepping:
            trainer.step(asked, list(answered), scores)

    first, *others = batches(job["prompts"])
    run(first)
    stepping.seconds = 0.0
    with clock:
        for rows in others:
            run(rows)
    return {"samples": len(others) * BATCH, "step": stepping.seconds}


# 4. TRL 1.12.0 -------------------------------------------------------------------------------------------------------


def last_trainer(job: Job) -> Any:
    """Its trainer, begun; a critic of the backbone's shape, and a reward model that costs nothing."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Tokens(torch.nn.Module):
        """A backbone whose hidden states are the tokens themselves."""

        def forward(self, input_ids: Any, **_: Any) -> Any:
            return argparse.Namespace(hidden_states=[input_ids])

    class Rule(torch.nn.Module):
        """`judged`, in the shape of a reward model."""

        base_model_prefix = "backbone"

        def __init__(self) -> None:
            super().__init__()
            self.backbone = Tokens()

        def score(self, tokens: Any) -> Any:
            scores = 1.0 - 2.0 * (tokens[:, -NEW:].sum(1) % 2)
            return scores[:, None, None].expand(-1, tokens.shape[1], 1)

    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job["model"], padding_side="left")
    trainer = PPOTrainer(
        PPOConfig(
            output_dir=job["out"], per_device_train_batch_size=BATCH, num_mini_batches=BATCH // job["minibatch"],
            num_ppo_epochs=EPOCHS, total_episodes=len(job["prompts"]), local_rollout_forward_batch_size=BATCH,
            response_length=NEW, num_sample_generations=0, learning_rate=1e-4, lr_scheduler_type="constant", kl_coef=KL,
            gamma=GAMMA, lam=LAMBDA, cliprange=CLIP, cliprange_value=CLIP_VALUE, vf_coef=VALUE, temperature=1.0,
            use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            disable_tqdm=True, seed=job.get("seed", 0),
        ),
        tokenizer,
        AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        None,
        Rule(),
        Dataset.from_dict({"input_ids": job["prompts"]}),
        AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=torch.float32),
        eval_dataset=Dataset.from_dict({"input_ids": job["prompts"][:1]}),
        peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"),
    )  # fmt: skip
    begin(trained(trainer.policy_model))
    return trainer


def last(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`train`; its first batch warms up: the clock starts with the second one's prompts."""
    trainer, seen = last_trainer(job), 0
    import trl.experimental.ppo.ppo_trainer as module

    generation = module.batch_generation

    def watched(*arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 2:
            clock.__enter__()
        return generation(*arguments)

    module.batch_generation = watched
    trainer.train()
    clock.__exit__()
    return {"samples": len(job["prompts"]) - BATCH, "step": None}


def last_advantages(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """One batch: the answers that it drew, and what it made of them before its first update."""
    import trl.experimental.ppo.ppo_trainer as module

    trainer = last_trainer(job)
    seen: dict[str, list[Any]] = {
        "selective_log_softmax": [],
        "get_reward": [],
        "masked_whiten": [],
        "batch_generation": [],
    }
    context: list[int] = []

    def watch(name: str) -> None:
        function = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            found = function(*arguments, **named)
            seen[name].append(found)
            if name == "batch_generation":
                context.append(arguments[1].shape[1])
            return found

        setattr(module, name, watched)

    for name in seen:
        watch(name)
    with clock:
        trainer.train()
    rows, start = seen["batch_generation"][0][0], context[0]
    pad = trainer.processing_class.pad_token_id
    return {
        "prompts": [[token for token in row if token != pad] for row in rows[:, :start].tolist()],
        "answers": rows[:, start:].tolist(),
        "logp": seen["selective_log_softmax"][0].tolist(),
        "reference": seen["selective_log_softmax"][1].tolist(),
        "values": seen["get_reward"][0][0][:, start - 1 : -1, 0].tolist(),
        "advantages": seen["masked_whiten"][0].tolist(),
    }


# 5. The comparison ---------------------------------------------------------------------------------------------------


def prompts(model: Path, data: Path, count: int) -> list[list[int]]:
    """Token ids of RTE's first training prompts."""
    from rl4nlu.config import Model
    from rl4nlu.models.load import encode_prompts, load_tokenizer
    from rl4nlu.tasks.prompts import write_prompt

    task, rows = measure.rows("rte", data, "train")
    tokenizer = load_tokenizer(Model(kind="decoder", path=str(model)))
    return encode_prompts(tokenizer, [write_prompt(task, row.fields).text for row in rows[:count]])


def pythons() -> dict[str, str | Path]:
    """Python of each timed side."""
    return {
        "ours": sys.executable,
        "old": measure.environment("trl-0.11.4", ["trl==0.11.4", "rich", *PINS]),
        "last": measure.environment("trl-1.12.0", ["trl==1.12.0", *PINS]),
    }


def difference(left: Any, right: Any) -> float:
    """Largest absolute difference of two equally shaped (nested) lists of numbers."""
    import numpy as np

    return float(np.abs(np.asarray(left) - np.asarray(right)).max())


def check(name: str, job: Job, minibatch: int, python: dict[str, str | Path]) -> dict[str, tuple[float, float]]:
    """Differences between the sides on one model, and what is allowed."""
    rng, vocabulary = random.Random(0), measure.SHAPES[name].vocabulary
    rows = job["prompts"][:BATCH]
    answers = [[rng.randrange(3, vocabulary) for _ in range(rng.randint(2, NEW))] for _ in rows]
    step = {**job, "prompts": rows, "answers": answers, "minibatch": minibatch}
    mine = measure.run(__file__, "our_step", python["ours"], step).results
    theirs = measure.run(__file__, "old_step", python["old"], step).results
    what = f"{name}: weights after {BATCH // minibatch * EPOCHS} SGD steps"
    measure.note(f"  {what} have moved by up to {difference(mine['after'], mine['before']):.3g}")
    found = {f"{what}, 0.11.4": (difference(mine["after"], theirs["after"]), 1e-6)}
    for seed in range(20):  # an answer with a padding token is cut by 1.12: such a batch is drawn again
        theirs = measure.run(
            __file__, "last_advantages", python["last"], {**job, "prompts": rows, "seed": seed}
        ).results
        if not any(2 in answer for answer in theirs["answers"]):
            break
    mine = measure.run(__file__, "our_advantages", python["ours"], {**job, **theirs}).results
    for key, most in (("logp", 1e-4), ("reference", 1e-4), ("advantages", 1e-4)):
        found[f"{name}: {key}, 1.12.0"] = (difference(mine[key], theirs[key]), most)
    return found


def timed(job: Job, python: dict[str, str | Path], repeats: int) -> dict[str, dict[str, float]]:
    """What each side costs on the prompts of `job`: samples a CPU-second (of whole batches, and of updates), peak memory."""
    costs = {}
    for side, runs in measure.alternate(__file__, python, job, repeats).items():
        cost = measure.cost(runs)
        samples, steps = runs[0].results["samples"], [run.results["step"] for run in runs]
        costs[side] = {
            "samples": samples / cost["work"],
            "step": None if None in steps else samples / statistics.median(steps),
            "peak": cost["peak"],
            **{key: cost[key] for key in ("work", "least", "most", "repeats")},
        }
    return costs


SIDES = {"ours": "ours", "old": "TRL 0.11.4", "last": "TRL 1.12.0"}
GOALS = {("rand_32k", "old"): 4.0, ("rand_32k", "last"): 4.0, ("rand_small", "old"): 1.3, ("rand_small", "last"): 2.5}


def compare(arguments: argparse.Namespace) -> None:
    """Equality on both models, then what each side costs."""
    python, differences, lines, record = pythons(), {}, [], {}
    jobs = {}
    for name, minibatch in {"rand_32k": BATCH, "rand_small": BATCH // 4}.items():
        model = measure.model(name, arguments.data)
        rows = prompts(model, arguments.data, BATCH * (2 if arguments.quick else 3))
        jobs[name] = {"model": str(model), "prompts": rows, "minibatch": BATCH, "out": str(measure.WORK / "trainer")}
        differences |= check(name, jobs[name], minibatch, python)
    equalities = measure.equal(differences)
    for name, job in jobs.items():
        costs = timed(job, python, arguments.repeats)
        record[name] = {"tokens_a_prompt": sum(map(len, job["prompts"])) / len(job["prompts"]), "costs": costs}
        mine = costs["ours"]
        for side, cost in costs.items():
            goal = GOALS.get((name, side))
            lines.append({
                "model": name,
                "vocabulary": measure.SHAPES[name].vocabulary,
                "side": SIDES[side],
                "samples per CPU-second": cost["samples"],
                "ours is faster": f"{mine['samples'] / cost['samples']:.2f}×" + (f" (goal {goal:g}×)" if goal else ""),
                "updates alone": cost["step"] or "",
                "faster ": f"{mine['step'] / cost['step']:.2f}×" if cost["step"] else "",
                "peak memory, MB": cost["peak"],
                "ours uses": f"{mine['peak'] / cost['peak']:.2f}",
            })  # fmt: skip
    title = "PPO: batches of 16 RTE prompts, 4 updates a batch, 8 new tokens, LoRA r16 on q and v"
    text = f"{title}\n\n{measure.table(lines)}"
    measure.save("ppo", {"equality": equalities, "models": record}, text, arguments.quick)


if __name__ == "__main__":
    measure.main(
        __doc__,
        compare,
        {f.__name__: f for f in (ours, our_step, our_advantages, old, old_step, last, last_advantages)},
    )
