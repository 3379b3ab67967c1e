"""Proximal policy optimisation of a LoRA adapter with rule rewards (paper 1, section 2; Schulman et al. 2017).

A roll-out is one batch of prompts, and runs through these steps:

1. *roll-out*: the policy samples an answer to every prompt;
2. *reward*: a rule gives every answer one number, on its last token;
3. *KL*: every answer token pays for moving away from the reference, the policy that the run started from;
4. *GAE*: a value head tells how much better than expected every token was (steps 3 and 4: `experience`);
5. *clipped update*: some passes over the roll-out move the adapter and the value head.

Where the paper is silent, numbers and estimators are those of TRL 0.11.4, which its code runs on, without dropout:
there the training forward is in evaluation mode, too, so that probability ratios start at exactly one.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from .answers import validation_score
from .asking import Sampler, event_writer, planned
from .checkpoint import NOT_SAVED, Checkpoint, put_back, random_state, restore_random
from .config import PolicyOptimisation, Ppo, Rllr
from .devices import free_memory
from .experience import Experience, Passes, adapted, discounted, experienced
from .failures import TrainingError
from .models import load_tokenizer
from .policy import Policy, Scored, build_policy, forward, plan, save_adapter, values
from .progress import Progress
from .records import write_jsonl
from .rewards import Judgement, Prompt, by_rules
from .schedule import rate_factor

if TYPE_CHECKING:
    from .runs import RunSpec


Reward = Callable[[Sequence[Prompt], list[list[int]]], Judgement]
"""Judges a roll-out's answers (token ids)."""


class Carried(Protocol):
    """What is carried from roll-out to roll-out beside weights and optimiser, and is part of a run's saved state."""

    def state(self) -> dict[str, Any]:
        """Tensors, numbers, text, lists and dicts of these."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""


# ------------------------------------------------------------------------------------------------------ clipped update


def clipped(new: Scored, old: Experience, rows: list[int], settings: PolicyOptimisation) -> dict[str, Tensor]:
    """The clipped policy loss of every response token of `rows`, and what is worth watching.

    `-min(ratio A, clip(ratio) A)` (Schulman et al. 2017, eq. 7).
    """
    mask, logp, advantage = (t[rows, : new.logp.shape[1]] for t in (old.mask, old.logp, old.advantage))
    log_ratio = (new.logp - logp) * mask
    ratio = log_ratio.exp()
    near = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
    return {
        "policy_loss": -torch.minimum(ratio * advantage, near * advantage),
        "ratio": ratio,
        "clip_fraction": (near * advantage < ratio * advantage).to(ratio.dtype),
        "approximate_kl": 0.5 * log_ratio**2,
    }


def losses(new: Scored, old: Experience, rows: list[int], settings: Ppo) -> dict[str, Tensor]:
    """PPO's losses of every response token of `rows`: `loss` is minimised, the others are worth watching.

    To the clipped policy loss comes the value's, where the policy has a value head.
    """
    parts = clipped(new, old, rows, settings)
    parts["loss"] = parts["policy_loss"]
    if new.value is not None:  # else a critic of its own learns it
        parts["value_loss"] = value_losses(new.value, old, rows, settings)
        parts["loss"] = parts["loss"] + settings.value_coefficient * parts["value_loss"]
    return parts


def value_losses(new: Tensor, old: Experience, rows: list[int], settings: Ppo) -> Tensor:
    """Half the larger of the squared errors of the value and of the value clipped to its old neighbourhood, every token's.

    Schulman et al. 2017, eq. 9, as TRL 0.11.4 computes it.
    """
    value, returns = (t[rows, : new.shape[1]] for t in (old.value, old.returns))
    near = value + (new - value).clamp(-settings.clip_range_value, settings.clip_range_value)
    return 0.5 * torch.maximum((new - returns) ** 2, (near - returns) ** 2)


def critic_step(policy: Policy, old: Experience, rows: list[int], tokens: int, settings: Ppo) -> Tensor:
    """Forward and backward pass of a critic of its own over `rows`; returns its loss, a share of the mean over `tokens`.

    Its backward follows its own forward. As released (`value_gradients`) the policy's adapter is switched on in between,
    and the recomputation that gradient checkpointing makes runs through the wrong adapter (papers/2, B2).
    """
    released = isinstance(settings, Rllr) and settings.value_gradients == "released"
    mask = old.mask[rows]

    def loss_of() -> Tensor:
        new = values(policy, [old.prompts[r] for r in rows], [old.responses[r] for r in rows], checkpointed=released)
        return (value_losses(new, old, rows, settings) * mask[:, : new.shape[1]]).sum() / tokens

    with policy.as_critic():
        loss = loss_of()
        if not released:
            (settings.value_coefficient * loss).backward()
    if released:
        (settings.value_coefficient * loss).backward()
    return loss.detach()


@dataclass(frozen=True)
class Objective:
    """What tells one policy optimisation from another: how scores become advantages, and the loss of a token.

    advantages: (scores `[rows]`, kl, value, mask `[rows, tokens]`, KL coefficient, settings) to rewards, advantages and
        returns, all `[rows, tokens]`.
    losses: (forward pass, experience, rows, settings) to numbers `[rows, tokens]` by name, among them `loss` and `ratio`.
    """

    advantages: Callable[..., tuple[Tensor, Tensor, Tensor]]
    losses: Callable[..., dict[str, Tensor]]


PPO = Objective(discounted, losses)


def update(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    experience: Experience,
    settings: PolicyOptimisation,
    chance: torch.Generator,
    first: Passes | None = None,
    losses: Callable[..., dict[str, Tensor]] = losses,
) -> dict[str, Tensor]:
    """`epochs` passes over a roll-out, one optimiser step a minibatch; means over response tokens, averaged over the steps.

    Args:
        policy: is changed.
        optimiser: over `policy.parameters()`.
        experience: the roll-out.
        settings: see `config.Ppo`.
        chance: shuffles rows into minibatches.
        first: pieces (rows and forward pass, graph included) of the whole roll-out by the unchanged policy, if at hand:
            they are the first epoch's forward pass, which is then not repeated.
        losses: see `Objective`.
    """
    parameters = policy.parameters()
    steps: list[dict[str, Tensor]] = []
    for _ in range(settings.epochs):
        order = torch.randperm(len(experience.prompts), generator=chance).tolist()
        for start in range(0, len(order), settings.minibatch_size):
            minibatch = order[start : start + settings.minibatch_size]
            tokens = sum(len(experience.responses[row]) for row in minibatch)
            means: dict[str, Tensor] = {}
            pieces = plan(minibatch, experience.lengths, experience.groups, settings)
            for rows, ready in first or [(rows, None) for rows in pieces]:
                new = ready or forward(
                    policy, [experience.prompts[r] for r in rows], [experience.responses[r] for r in rows], settings
                )
                parts = losses(new, experience, rows, settings)
                if new.entropy is not None:
                    parts["loss"] = parts["loss"] - settings.entropy_coefficient * new.entropy
                mask = experience.mask[rows, : new.logp.shape[1]]
                sums = {name: (part * mask).sum() / tokens for name, part in parts.items()}
                sums["loss"].backward()
                if policy.critic and isinstance(settings, Ppo):
                    sums["value_loss"] = critic_step(policy, experience, rows, tokens, settings)
                for name, part in sums.items():
                    means[name] = means.get(name, 0) + part.detach()
            first = None
            if settings.ratio_threshold is not None:
                # decided on the device: a skipped minibatch has no gradient (the optimiser's momentum, if any, still acts)
                skip = means["ratio"] > settings.ratio_threshold
                for gradient in (p.grad for p in parameters if p.grad is not None):
                    gradient.masked_fill_(skip, 0.0)
                means = {name: mean.masked_fill(skip, 0.0) for name, mean in means.items()} | {"skipped": skip.float()}
            if settings.max_grad_norm is not None and (settings.clipping == "every-step" or not optimiser.state):
                nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            steps.append(means)
    return {name: torch.stack([means[name] for means in steps]).mean() for name in steps[0]}


def make_optimiser(policy: Policy, settings: PolicyOptimisation, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW without decay, or Adafactor with a fixed step as released; the value head may have its own learning rate."""
    groups: list[dict[str, Any]] = [{"params": policy.adapter_parameters(), "lr": learning_rate}]
    if isinstance(settings, Ppo):
        groups.append({"params": policy.value_parameters(), "lr": settings.value_learning_rate or learning_rate})
    if settings.optimiser == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=learning_rate, scale_parameter=False, relative_step=False, warmup_init=False)
    return torch.optim.AdamW(groups, weight_decay=0.0)


# -------------------------------------------------------------------------------------------------------- the whole run


def optimise(
    policy: Policy,
    prompts: Sequence[Prompt],
    sample: Callable[[list[list[int]]], list[list[int]]],
    reward: Reward,
    settings: PolicyOptimisation,
    learning_rate: float,
    *,
    seed: int,
    objective: Objective = PPO,
    how: str = "constant",
    run: str = "",
    validate: Callable[[], float | None] | None = None,
    watch: Callable[[dict[str, Any]], None] = lambda row: None,
    checkpoint: Checkpoint = NOT_SAVED,
    generators: Sequence[torch.Generator] = (),
    carried: Sequence[Carried] = (),
) -> list[dict[str, Any]]:
    """Train `policy` on `prompts`, in their order; one history row a roll-out.

    Args:
        policy: is changed.
        prompts: one entry an answer, in roll-outs of `settings.batch_size * settings.answers`.
        sample: answers of the policy as it is now, the stop included, to prompts (token ids).
        reward: judges the answers.
        settings: see `config.Ppo`.
        learning_rate: of the adapter, at the top of its schedule.
        seed: of the minibatches.
        objective: PPO's, or that of another policy optimisation.
        how: learning-rate schedule.
        run: named in errors.
        validate: a score to be recorded every `settings.evaluate_every` roll-outs, and after the last.
        watch: is given every history row.
        checkpoint: where training is resumed from, and saved on the way.
        generators: the random numbers of `sample`, which are part of the state.
        carried: what else is part of the state.

    Raises:
        TrainingError: a loss is not finite.
        Stopped: the process was asked to stop, and the state is saved.
    """
    optimiser = make_optimiser(policy, settings, learning_rate)
    rates = [group["lr"] for group in optimiser.param_groups]
    chance = torch.Generator().manual_seed(seed)
    coefficient = settings.kl_coefficient
    rows = settings.batch_size * settings.answers
    steps = len(prompts) // rows
    history: list[dict[str, Any]] = []
    first_step = answered = total = 0
    kept = Kept(policy, settings)
    carried = [kept, *carried]
    started = time.perf_counter()
    if (saved := checkpoint.load()) is not None:
        first_step, coefficient, answered, total, history, seconds = (
            saved[name] for name in ("step", "coefficient", "answered", "total", "history", "seconds")
        )
        put_back(policy.parameters(), saved["weights"])
        optimiser.load_state_dict(saved["optimiser"])
        restore_random(saved["random"], chance, *generators)
        for one, was in zip(carried, saved["carried"], strict=True):
            one.restore(was)
        started -= seconds
    elif validate and settings.keep == "best":
        kept.see(0, validate())
        started = time.perf_counter()

    def state() -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": len(history),
            "coefficient": coefficient,
            "answered": answered,
            "total": total,
            "history": history,
            "seconds": history[-1]["seconds"],
            "weights": [parameter.detach() for parameter in policy.parameters()],
            "optimiser": optimiser.state_dict(),
            "random": random_state(chance, *generators),
            "carried": [one.state() for one in carried],
        }

    progress = Progress(f"{run} at a learning rate of {learning_rate:g}", steps, "roll-outs", done=first_step)
    for step in range(first_step, steps):
        if settings.patience and kept.no_better >= settings.patience:
            break
        factor = rate_factor(step, steps, how)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor

        # 1. roll-out: the policy answers
        batch = prompts[step * rows : (step + 1) * rows]
        asked = [prompt.tokens for prompt in batch]
        responses = sample(asked)

        # 2. reward: one number an answer
        judged = reward(batch, responses)

        # 3. and 4. KL and GAE: what every token cost, and how much better than expected it was
        # rows that share most of their tokens: the answers to one prompt, or else the prompts of one task
        alone = settings.answers == 1
        groups = [prompt.task.name if alone else str(n // settings.answers) for n, prompt in enumerate(batch)]
        experience, first = experienced(
            policy, asked, responses, groups, judged.scores, coefficient, settings, objective.advantages
        )

        # 5. clipped update
        measured = update(policy, optimiser, experience, settings, chance, first, objective.losses)

        # the one place where the host waits for the device
        measured |= experience.summary()
        numbers = dict(zip(measured, torch.stack([m.float() for m in measured.values()]).tolist(), strict=True))
        if not all(map(math.isfinite, numbers.values())):
            found = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            raise TrainingError(
                f"run {run}: roll-out {step} of {steps}: numbers are no longer finite ({found}); a lower learning rate than "
                f"{learning_rate:g}, or max_grad_norm (now {settings.max_grad_norm}), usually helps"
            )
        answered += sum(map(len, responses))
        total += sum(experience.lengths)
        row: dict[str, Any] = {
            "step": step + 1,
            "prompts": (step + 1) * settings.batch_size,
            "reward": sum(judged.scores) / len(batch),
            "accuracy": judged.right,
            "invalid_rate": judged.invalid,
            **numbers,
            "kl_coefficient": coefficient,
            "learning_rate": learning_rate * factor,
            "tokens_generated": answered,
            "tokens_answered": answered * settings.epochs,
            "tokens_trained": total * settings.epochs,
            **judged.more,
            "validation": None,
        }
        coefficient = adapted(coefficient, numbers["kl"], len(batch), settings)
        row["seconds"] = round(time.perf_counter() - started, 3)
        if validate and (step + 1 == steps or (settings.evaluate_every and (step + 1) % settings.evaluate_every == 0)):
            row["validation"] = validate()
            kept.see(step + 1, row["validation"])
        history.append(row)
        watch(row)
        progress.advance(reward=row["reward"])
        if step + 1 < steps:
            checkpoint.keep(state)
        started = time.perf_counter() - row["seconds"]  # validating and saving are not counted
    if first_step < len(history):
        checkpoint.save(state())
    if settings.keep == "best" and kept.weights:
        kept.put_back()
        history[-1] |= {"kept_step": kept.step, "kept_validation": kept.score}
    return history


class Kept:
    """The trained weights at the best validation score so far (the first of equals), and how long ago that was."""

    def __init__(self, policy: Policy, settings: PolicyOptimisation) -> None:
        self.policy, self.settings = policy, settings
        self.step, self.score, self.no_better = 0, -math.inf, 0
        self.weights: list[Tensor] = []

    def see(self, step: int, score: float | None) -> None:
        """A validation score of the policy as it is after `step` roll-outs."""
        if score is None or score <= self.score:
            self.no_better += 1
            return
        self.step, self.score, self.no_better = step, score, 0
        if self.settings.keep == "best":
            self.weights = [p.detach().clone() for p in self.policy.parameters()]

    def state(self) -> dict[str, Any]:
        """See `Carried`."""
        return {name: getattr(self, name) for name in ("step", "score", "no_better", "weights")}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Carried`."""
        for name, value in state.items():
            setattr(self, name, value)

    def put_back(self) -> None:
        """Make the best weights the policy's."""
        put_back(self.policy.parameters(), self.weights)


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    start_adapter: Path | None = None,
    tensorboard: Path | None = None,
    objective: Objective = PPO,
    checkpoint: Checkpoint = NOT_SAVED,
    make_policy: Callable[[], Policy] | None = None,
    make_reward: Callable[[Policy, Sampler], tuple[Reward, Sequence[Carried]]] | None = None,
) -> dict[str, Any]:
    """Train a run's adapter: `out/adapter` and `out/history.jsonl`; returns the facts of its record.

    Every candidate learning rate starts from the same weights and answers the same prompts; the best on validation is
    kept (the first of equals), and all are recorded under `candidates`.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        out: folder to write.
        start_adapter: the SFT run's adapter, where `start` is sft.
        tensorboard: folder for event files, if they are wanted (needs the package `tensorboard`).
        objective: PPO's, or that of another policy optimisation.
        checkpoint: state of the run, from which it is resumed.
        make_policy: builds the policy before its first step; that of `policy.build_policy` when absent.
        make_reward: what judges its answers, and what that carries along; the tasks' rules when absent.

    Raises:
        ConfigError: rows or the starting adapter are missing.
        TrainingError: the loss stops being finite.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, PolicyOptimisation)
    torch.set_num_threads(spec.threads)
    tokenizer = load_tokenizer(spec.model_spec)
    prompts, shortened = planned(spec, data, tokenizer)

    def attempt(number: int, learning_rate: float, folder: Path) -> list[dict[str, Any]]:
        """One candidate, trained and saved; its backbone is not kept for the next one's time."""
        policy = make_policy() if make_policy else build_policy(spec, start_adapter)
        sampler = Sampler(spec, policy, tokenizer)
        by_rule = by_rules(spec.train_tasks, spec.protocol, sampler.texts)
        reward, carried = make_reward(policy, sampler) if make_reward else (by_rule, ())
        history = optimise(
            policy,
            prompts,
            sampler,
            reward,
            settings,
            learning_rate,
            seed=spec.seed,
            objective=objective,
            how=spec.protocol.schedule,
            run=spec.address.path,
            validate=partial(validation_score, spec, policy.model, tokenizer, data),
            watch=event_writer(tensorboard and tensorboard / f"{learning_rate:g}"),
            checkpoint=checkpoint.part(f"candidate{number}"),
            generators=[sampler.chance],
            carried=carried,
        )
        save_adapter(policy, folder)
        return history

    best: dict[str, Any] = {}
    tried = []
    for number, learning_rate in enumerate(settings.learning_rates):
        folder = out / f".candidate{number}"
        history = attempt(number, learning_rate, folder)
        free_memory()
        last = {**history[-1], "validation": history[-1].get("kept_validation", history[-1]["validation"])}
        tried.append({key: last[key] for key in ("validation", "reward", "seconds")} | {"learning_rate": learning_rate})
        if not best or (last["validation"] or 0) > (best["validation"] or 0):
            best = {**last, "learning_rate": learning_rate}
            shutil.rmtree(out / "adapter", ignore_errors=True)
            folder.rename(out / "adapter")
            write_jsonl(out / "history.jsonl", history)
        else:
            shutil.rmtree(folder)
    return {
        "optimiser_steps": best["step"]
        * settings.epochs
        * (settings.batch_size * settings.answers // settings.minibatch_size),
        "prompts_seen": best["prompts"],
        "tokens_trained": best["tokens_trained"],
        "tokens_answered": best["tokens_answered"],
        "tokens_generated": best["tokens_generated"],
        "rows_shortened": shortened,
        "seconds": best["seconds"],
        "samples_per_second": round(best["prompts"] / best["seconds"], 3),
        "learning_rate": best["learning_rate"],
        "validation": best["validation"],
        "candidates": tried,
    }
