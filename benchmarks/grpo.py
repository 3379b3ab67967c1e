"""GRPO: ours beside TRL 1.16's GRPOTrainer, on the same prompts, LoRA and objective.

Roll-outs of four RTE prompts with four answers each, eight new tokens, and one or four updates a roll-out. Equality comes
first: given the same answers and starting weights, four updates by plain SGD lead both sides to the same weights.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

import measure
from ppo import BATCH, CLIP, LORA, NEW, SGD_RATE, begin, difference, flat, judged, prompts, trained

GROUP, KL = 4, 0.04

Job = dict[str, Any]
"""model: folder; prompts: token ids, one entry a prompt; epochs: updates a roll-out; answers: a row each, for the check."""


def our_policy(job: Job) -> tuple[Any, Any]:
    """The policy, begun, and its settings."""
    import torch

    from rl4nlu.config import Grpo, Model
    from rl4nlu.methods.rl.policy import Policy
    from rl4nlu.models.load import add_lora, load_backbone

    settings = Grpo.model_validate({
        "prompts": BATCH // GROUP, "batch_size": BATCH // GROUP, "group_size": GROUP, "minibatch_size": BATCH,
        "epochs": job["epochs"], "max_new_tokens": NEW, "kl_coefficient": KL, "clip_range": CLIP, "max_grad_norm": None,
        "ratio_threshold": None,
        "lora": {"rank": LORA["r"], "alpha": LORA["lora_alpha"], "targets": LORA["target_modules"]},
    })  # fmt: skip
    torch.set_num_threads(1)
    policy = Policy(add_lora(load_backbone(Model(kind="decoder", path=job["model"])), settings.lora, 0).eval(), None)
    begin(trained(policy.model))
    return policy, settings


def ours(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`ppo.optimise` with GRPO's objective, as in a run of the workflow; the first roll-out warms up and is not timed."""
    import torch

    from rl4nlu.answering.generate import generate_tokens
    from rl4nlu.config import Model
    from rl4nlu.methods.rl.grpo import GRPO
    from rl4nlu.methods.rl.loop import optimise
    from rl4nlu.methods.rl.rollout import Judgement, Prompt, RollOut
    from rl4nlu.models.load import load_tokenizer
    from rl4nlu.tasks.reading import Reading
    from rl4nlu.tasks.task import load_task

    policy, settings = our_policy(job)
    tokenizer, task = load_tokenizer(Model(kind="decoder", path=job["model"])), load_task("rte")
    chance = torch.Generator().manual_seed(0)

    def sample(batch: Any) -> RollOut:
        tokens = [prompt.tokens for prompt in batch]
        responses = generate_tokens(
            policy.model, tokens, tokenizer=tokenizer, max_new_tokens=NEW, sample=True, generator=chance
        )
        unread = [Reading("", None, "empty")] * len(batch)
        return RollOut(batch, responses, [""] * len(batch), unread)

    def run(rows: list[list[int]]) -> None:
        asked: Any = [Prompt(task, None, tokens) for tokens in rows for _ in range(GROUP)]  # type: ignore[arg-type]
        optimise(
            policy,
            asked,
            sample,
            lambda answers: Judgement(judged(answers.responses), 0.0),
            settings,
            1e-4,
            seed=0,
            objective=GRPO,
        )

    warm = BATCH // GROUP
    run(job["prompts"][:warm])
    with clock:
        run(job["prompts"][warm:])
    return {"samples": (len(job["prompts"]) - warm) * GROUP}


def our_step(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """The updates of one roll-out with the answers given, under SGD: the weights before and after."""
    import torch

    from rl4nlu.methods.rl.experience import gather_experience
    from rl4nlu.methods.rl.grpo import GRPO
    from rl4nlu.methods.rl.update import update

    policy, settings = our_policy(job)
    asked, answers = [p for p in job["prompts"] for _ in range(GROUP)], job["answers"]
    before = flat(trained(policy.model))
    with clock:
        groups = [str(n // GROUP) for n in range(len(asked))]  # as `ppo.optimise` has them
        experience, first = gather_experience(policy, asked, answers, groups, judged(answers), KL, settings, GRPO)
        optimiser = torch.optim.SGD(policy.parameters(), SGD_RATE)
        update(policy, optimiser, experience, settings, torch.Generator().manual_seed(3), GRPO, first)
    return {"before": before, "after": flat(trained(policy.model))}


def their_trainer(job: Job, callbacks: list[Any]) -> Any:
    """TRL's trainer, begun; rewards by the same rule on the answers' tokens; its defaults otherwise."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job["model"], padding_side="left")
    texts = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in job["prompts"]]
    assert [tokenizer(text)["input_ids"] for text in texts] == job["prompts"]
    steps = len(job["prompts"]) // (BATCH // GROUP) * job["epochs"]

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return judged(completion_ids)

    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        reward,
        GRPOConfig(
            output_dir=job["out"], per_device_train_batch_size=BATCH, num_generations=GROUP, num_iterations=job["epochs"],
            max_completion_length=NEW, max_steps=steps, beta=KL, epsilon=CLIP, loss_type="bnpo", learning_rate=1e-4,
            use_bias_correction_kl=False,
            lr_scheduler_type="constant", max_grad_norm=0.0, temperature=1.0, top_p=1.0, top_k=0, shuffle_dataset=False,
            use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            logging_steps=1000, disable_tqdm=True, dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": texts}),
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"),
    )  # fmt: skip
    begin(trained(trainer.model))
    return trainer


def theirs(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`train`; the updates of its first roll-out warm up and are not timed."""
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == job["epochs"]:
                clock.__enter__()

    trainer = their_trainer(job, [Stopwatch()])
    trainer.train()
    clock.__exit__()
    return {"samples": (len(job["prompts"]) - BATCH // GROUP) * GROUP}


def their_step(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`our_step` by TRL's loss; advantages are what it computes from a group's rewards."""
    import torch

    trainer = their_trainer(job, [])
    model = trainer.model.eval()
    asked, answers = [p for p in job["prompts"] for _ in range(GROUP)], job["answers"]
    longest, width = max(map(len, asked)), max(map(len, answers))
    rewards = torch.tensor(judged(answers)).view(-1, GROUP)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    inputs: dict[str, Any] = {
        "prompt_ids": torch.tensor([[2] * (longest - len(p)) + p for p in asked]),
        "prompt_mask": torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in asked]),
        "completion_ids": torch.tensor([a + [2] * (width - len(a)) for a in answers]),
        "completion_mask": torch.tensor([[1] * len(a) + [0] * (width - len(a)) for a in answers]),
        "advantages": advantages.flatten(),
    }
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    optimiser = torch.optim.SGD(trained(model), SGD_RATE)
    trainer.current_gradient_accumulation_steps = 1
    with clock:
        with torch.no_grad():
            score = trainer._get_per_token_logps_and_entropies
            inputs["old_per_token_logps"] = score(model, ids, mask, width)[0]
            with model.disable_adapter():
                inputs["ref_per_token_logps"] = score(model, ids, mask, width)[0]
        for _ in range(job["epochs"]):
            trainer._compute_loss(model, inputs).backward()
            optimiser.step()
            optimiser.zero_grad()
    return {"after": flat(trained(model))}


GOAL = 1.5


def compare(arguments: argparse.Namespace) -> None:
    """Equality, then samples a CPU-second and peak memory of both sides."""
    count = 8 if arguments.quick else 12
    python: dict[str, Any] = dict.fromkeys(("ours", "theirs"), sys.executable)
    differences, lines, record = {}, [], {}
    for name in ("rand_small", "rand_32k"):
        folder, vocabulary = measure.model(name, arguments.data), measure.SHAPES[name].vocabulary
        asked = prompts(folder, arguments.data, count)
        rng = random.Random(0)
        answers = [[rng.randrange(3, vocabulary) for _ in range(rng.randint(2, NEW))] for _ in range(BATCH)]
        job = {"model": str(folder), "prompts": asked[: BATCH // GROUP], "answers": answers, "epochs": 4}
        job["out"] = str(measure.WORK / "grpo")
        mine, other = (measure.run(__file__, s, sys.executable, job).results for s in ("our_step", "their_step"))
        measure.note(f"  {name}: 4 SGD steps move weights by up to {difference(mine['after'], mine['before']):.3g}")
        differences[f"{name}: weights after 4 SGD steps"] = (difference(mine["after"], other["after"]), 1e-6)
    record["equality"] = measure.equal(differences)
    for name in ("rand_small", "rand_32k"):
        folder = measure.model(name, arguments.data)
        asked = prompts(folder, arguments.data, count)
        for epochs in (1, 4):
            job = {"model": str(folder), "prompts": asked, "epochs": epochs, "out": str(measure.WORK / "grpo")}
            runs = measure.alternate(__file__, python, job, arguments.repeats)
            costs = {side: measure.cost(found) for side, found in runs.items()}
            rate = {side: runs[side][0].results["samples"] / costs[side]["work"] for side in costs}
            record[f"{name}, {epochs}"] = {"samples_per_cpu_second": rate, "costs": costs}
            lines.append({
                "model": f"{name} ({measure.parameters(name) / 1e6:.1f} M, vocabulary {measure.SHAPES[name].vocabulary})",
                "updates a roll-out": epochs,
                "ours, answers / CPU-s": rate["ours"], "TRL 1.16, answers / CPU-s": rate["theirs"],
                "ratio": rate["ours"] / rate["theirs"], "goal": GOAL,
                "ours, peak MB": costs["ours"]["peak"], "TRL 1.16, peak MB": costs["theirs"]["peak"],
            })  # fmt: skip
    measure.save("grpo", record, measure.table(lines), arguments.quick)


if __name__ == "__main__":
    sides = {"ours": ours, "theirs": theirs, "our_step": our_step, "their_step": their_step}
    measure.main(__doc__, compare, sides)
