"""The one loop of all policy optimisation: roll-out, reward, experience, update; and a whole run of it.

The steps are told in `ppo`; what tells one policy optimisation from another is its `Objective`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ...answering.answers import validation_score
from ...base.checkpoint import NOT_SAVED, Checkpoint, put_back, random_state, restore_random
from ...base.errors import Diverged
from ...base.progress import Progress
from ...config import PolicyOptimisation
from ...models.load import load_tokenizer
from ..candidates import Candidate, best_of
from ..schedule import rate_factor
from .experience import adapted, gather_experience
from .policy import Policy, build_policy, save_adapter
from .rewards import by_rules, find_rules
from .rollout import Prompt, Reward, RollOut, Sampler, event_writer, plan_prompts
from .update import Objective, make_optimiser, update

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


class Carried(Protocol):
    """What is carried from roll-out to roll-out beside weights and optimiser, and is part of a run's saved state."""

    def state(self) -> dict[str, Any]:
        """Tensors, numbers, text, lists and dicts of these."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""


# -------------------------------------------------------------------------------------------------------- the whole run


def optimise(
    policy: Policy,
    prompts: Sequence[Prompt],
    sample: Callable[[Sequence[Prompt]], RollOut],
    reward: Reward,
    settings: PolicyOptimisation,
    learning_rate: float,
    *,
    seed: int,
    objective: Objective,
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
        sample: answers of the policy as it is now to prompts.
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
        Diverged: a number stops being finite.
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
        answers = sample(batch)

        # 2. reward: one number an answer
        judged = reward(answers)

        # 3. and 4. KL and GAE: what every token cost, and how much better than expected it was
        # rows that share most of their tokens: the answers to one prompt, or else the prompts of one task
        alone = settings.answers == 1
        groups = [prompt.task.name if alone else str(n // settings.answers) for n, prompt in enumerate(batch)]
        experience, first = gather_experience(
            policy,
            [prompt.tokens for prompt in batch],
            answers.responses,
            groups,
            judged.scores,
            coefficient,
            settings,
            objective.advantages,
        )

        # 5. clipped update
        measured = update(policy, optimiser, experience, settings, chance, objective, first)

        # the one place where the host waits for the device
        measured |= experience.summary()
        numbers = dict(zip(measured, torch.stack([m.float() for m in measured.values()]).tolist(), strict=True))
        if not all(map(math.isfinite, numbers.values())):
            found = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            raise Diverged(f"roll-out {step + 1} of {steps}: numbers are no longer finite ({found})")
        answered += sum(map(len, answers.responses))
        total += sum(experience.lengths)
        row: dict[str, Any] = {
            "step": step + 1,
            "prompts": (step + 1) * settings.batch_size,
            "reward": judged.reward,
            "accuracy": sum(answers.right) / len(batch),
            "invalid_rate": answers.unreadable,
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


@dataclass(frozen=True)
class Start:
    """What a candidate begins with: the policy before its first step, what judges its answers, and what that carries along."""

    policy: Policy
    reward: Reward
    carried: Sequence[Carried] = ()


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


def train_policy(
    spec: RunSpec,
    data: Path,
    out: Path,
    *,
    objective: Objective,
    start_adapter: Path | None = None,
    tensorboard: Path | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
    begin: Callable[[], Start] | None = None,
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
        begin: makes what every candidate begins with; `policy.build_policy` and the tasks' rules when absent.

    Raises:
        ConfigError: rows or the starting adapter are missing.
        Diverged: numbers stop being finite at every learning rate.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, PolicyOptimisation)
    torch.set_num_threads(spec.threads)
    tokenizer = load_tokenizer(spec.model_spec)
    prompts, shortened = plan_prompts(spec, data, tokenizer)

    def train_at(learning_rate: float, folder: Path, state: Checkpoint) -> Candidate:
        start = begin() if begin else Start(build_policy(spec, start_adapter), by_rules(find_rules(spec)))
        sampler = Sampler(spec, start.policy, tokenizer)
        history = optimise(
            start.policy,
            prompts,
            sampler,
            start.reward,
            settings,
            learning_rate,
            seed=spec.seed,
            objective=objective,
            how=spec.protocol.schedule,
            run=spec.address.path,
            validate=partial(validation_score, spec, start.policy.model, tokenizer, data),
            watch=event_writer(tensorboard and tensorboard / f"{learning_rate:g}"),
            checkpoint=state,
            generators=[sampler.chance],
            carried=start.carried,
        )
        save_adapter(start.policy, folder)
        last = history[-1]
        facts = {
            "validation": last.get("kept_validation", last["validation"]),
            "reward": last["reward"],
            "seconds": last["seconds"],
            "samples_per_second": round(last["prompts"] / last["seconds"], 3),
        }
        return Candidate(facts, history)

    best = best_of(spec, train_at, out, "adapter", checkpoint)
    last = best.history[-1]
    return {
        "optimiser_steps": last["step"]
        * settings.epochs
        * (settings.batch_size * settings.answers // settings.minibatch_size),
        "prompts_seen": last["prompts"],
        "tokens_trained": last["tokens_trained"],
        "tokens_answered": last["tokens_answered"],
        "tokens_generated": last["tokens_generated"],
        "rows_shortened": shortened,
        **best.facts,
    }
