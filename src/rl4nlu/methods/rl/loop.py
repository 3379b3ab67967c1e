"""The one loop of all policy optimisation: roll-out, reward, experience, update; and a whole run of it.

The steps are told in `ppo`; what tells one policy optimisation from another is its `Objective`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from ...answering.validation import validation_score
from ...base.checkpoint import NOT_SAVED, Checkpoint, put_back, random_state, restore_random
from ...base.errors import Diverged
from ...base.progress import Progress, Stopwatch
from ...config import PolicyOptimisation, Ppo
from ...models.load import load_tokenizer
from ..candidates import Candidate, best_of
from ..schedule import rate_factor
from .experience import Objective, adapt_kl_coefficient, gather_experience
from .policy import Policy, build_policy, save_adapter
from .rewards import by_rules, find_rules
from .rollout import Prompt, Reward, RollOut, Sampler, event_writer, plan_prompts
from .update import make_optimiser, update

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


class Carried(Protocol):
    """What is carried from roll-out to roll-out beside weights and optimiser, and is part of a run's saved state."""

    def state(self) -> dict[str, Any]:
        """Tensors, numbers, text, lists and dicts of these."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""


class Collect(Carried, Protocol):
    """What gives a roll-out for prompts."""

    def __call__(self, prompts: Sequence[Prompt]) -> RollOut:
        """Answers of the policy as it is now, perhaps with a guide's share in them."""


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


@dataclass
class Training:
    """A policy in training: what moves it, and all else that its next roll-out depends on, to be saved and restored.

    Attributes:
        policy: that is trained.
        optimiser: over its parameters.
        chance: shuffles rows into minibatches.
        carried: what else is part of the state.
        kl_coefficient: of the KL penalty, as it now is.
        history: one row a roll-out.
        generated: tokens sampled so far.
        answered: of these, tokens of answers that were learnt from.
        read: tokens of these answers and their prompts.
    """

    PLAIN: ClassVar = ("kl_coefficient", "history", "generated", "answered", "read")

    policy: Policy
    optimiser: torch.optim.Optimizer
    chance: torch.Generator
    carried: Sequence[Carried]
    kl_coefficient: float
    history: list[dict[str, Any]] = field(default_factory=list)
    generated: int = 0
    answered: int = 0
    read: int = 0

    def state(self) -> dict[str, Any]:
        """What `restore` takes, as it is between two roll-outs."""
        return {
            "step": len(self.history),
            **{name: getattr(self, name) for name in self.PLAIN},
            "weights": [parameter.detach() for parameter in self.policy.parameters()],
            "optimiser": self.optimiser.state_dict(),
            "random": random_state(self.chance),
            "carried": [one.state() for one in self.carried],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        for name in self.PLAIN:
            setattr(self, name, saved[name])
        put_back(self.policy.parameters(), saved["weights"])
        self.optimiser.load_state_dict(saved["optimiser"])
        restore_random(saved["random"], self.chance)
        for one, was in zip(self.carried, saved["carried"], strict=True):
            one.restore(was)


def learn_from_roll_out(
    training: Training,
    prompts: Sequence[Prompt],
    sample: Callable[[Sequence[Prompt]], RollOut],
    reward: Reward,
    settings: PolicyOptimisation,
    objective: Objective,
) -> dict[str, Any]:
    """One roll-out, from the policy's answers to `prompts` to its update; returns what the history says of it.

    Raises:
        Diverged: a number is not finite.
    """
    # 1. roll-out: the policy answers
    answers = sample(prompts)

    # 2. reward: one number an answer
    judged = reward(answers)

    # 3. and 4. KL and GAE: what every token cost, and how much better than expected it was
    # rows that share most of their tokens: the answers to one prompt, or else the prompts of one task
    alone = settings.answers == 1
    taught = isinstance(settings, Ppo) and settings.supervised_coefficient > 0
    experience, first = gather_experience(
        training.policy,
        answers.inputs or [prompt.tokens for prompt in prompts],
        answers.responses,
        [prompt.task.name if alone else str(n // settings.answers) for n, prompt in enumerate(prompts)],
        judged.scores,
        training.kl_coefficient,
        settings,
        objective,
        answers.spans,
        [(prompt.tokens, prompt.gold) for prompt in prompts] if taught else None,
    )

    # 5. update: passes over the rows that are learnt from
    measured = update(training.policy, training.optimiser, experience, settings, training.chance, objective, first)

    # the one place where the host waits for the device
    measured |= experience.summary()
    numbers = dict(zip(measured, torch.stack([m.float() for m in measured.values()]).tolist(), strict=True))
    step = len(training.history) + 1
    if not all(map(math.isfinite, numbers.values())):
        found = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        raise Diverged(f"roll-out {step}: numbers are no longer finite ({found})")
    training.generated += sum(map(len, answers.responses)) if answers.sampled is None else answers.sampled
    training.answered += sum(len(experience.spans.own[row]) for row in experience.learnt)
    training.read += sum(experience.lengths[row] for row in experience.learnt)
    coefficient = training.kl_coefficient
    training.kl_coefficient = adapt_kl_coefficient(coefficient, numbers["kl"], len(prompts), settings)
    return {
        "step": step,
        "prompts": step * settings.batch_size,
        "reward": judged.reward,
        "accuracy": answers.accuracy,
        "invalid_rate": answers.unreadable,
        **numbers,
        "kl_coefficient": coefficient,
        "tokens_generated": training.generated,
        "tokens_answered": training.answered * settings.epochs,
        "tokens_trained": training.read * settings.epochs,
        **({"learnt": len(experience.learnt)} if objective.select else {}),
        **answers.more,
        **judged.more,
    }


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
    carried: Sequence[Carried] = (),
) -> list[dict[str, Any]]:
    """Train `policy` on `prompts`, in their order; one history row a roll-out.

    Args:
        policy: is changed.
        prompts: one entry an answer, in roll-outs of `settings.batch_size * settings.answers`.
        sample: answers of the policy as it is now to prompts.
        reward: judges the answers.
        settings: see `config.PolicyOptimisation`.
        learning_rate: of the adapter, at the top of its schedule.
        seed: of the minibatches.
        objective: PPO's, or that of another policy optimisation.
        how: learning-rate schedule.
        run: named where the progress is told.
        validate: a score to be recorded every `settings.evaluate_every` roll-outs, and after the last.
        watch: is given every history row.
        checkpoint: where training is resumed from, and saved on the way.
        carried: what else is part of the state: the sampler's random numbers, running moments.

    Raises:
        Diverged: a number stops being finite.
        Stopped: the process was asked to stop, and the state is saved.
    """
    rows = settings.batch_size * settings.answers
    steps = len(prompts) // rows
    optimiser, chance = make_optimiser(policy, settings, learning_rate), torch.Generator().manual_seed(seed)
    rates = [group["lr"] for group in optimiser.param_groups]
    kept = Kept(policy, settings)
    training = Training(policy, optimiser, chance, [kept, *carried], settings.kl_coefficient)
    if (saved := checkpoint.load()) is not None:
        training.restore(saved)
    elif validate and settings.keep == "best":
        kept.see(0, validate())
    history = training.history
    done = len(history)
    clock = Stopwatch(history[-1] if history else None)
    progress = Progress(f"{run} at a learning rate of {learning_rate:g}", steps, "roll-outs", done=done)
    for step in range(done, steps):
        if settings.patience and kept.no_better >= settings.patience:
            break
        factor = rate_factor(step, steps, how)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        batch = prompts[step * rows : (step + 1) * rows]
        row = learn_from_roll_out(training, batch, sample, reward, settings, objective)
        clock.pause()
        row |= {"learning_rate": learning_rate * factor, "validation": None, **clock.spent()}
        if validate and (step + 1 == steps or (settings.evaluate_every and (step + 1) % settings.evaluate_every == 0)):
            row["validation"] = validate()
            kept.see(step + 1, row["validation"])
        history.append(row)
        watch(row)
        progress.advance(reward=row["reward"])
        if step + 1 < steps:
            checkpoint.keep(training.state)
        clock.go_on()  # validating and saving are not counted
    if done < len(history):
        checkpoint.save(training.state())
    if settings.keep == "best" and kept.weights:
        kept.put_back()
        history[-1] |= {"kept_step": kept.step, "kept_validation": kept.score}
    return history


@dataclass(frozen=True)
class Start:
    """What a candidate begins with: the policy before its first step, what judges its answers, and what that carries along.

    `collect` gives the roll-outs and is carried along; the policy answers by itself when absent.
    """

    policy: Policy
    reward: Reward
    carried: Sequence[Carried] = ()
    collect: Collect | None = None


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
        start = begin() if begin else Start(build_policy(spec, start_adapter), by_rules(find_rules(spec, data)))
        collect = start.collect or Sampler(spec, start.policy, tokenizer)
        history = optimise(
            start.policy,
            prompts,
            collect,
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
            carried=[collect, *start.carried],
        )
        save_adapter(start.policy, folder)
        last = history[-1]
        facts = {
            "validation": last.get("kept_validation", last["validation"]),
            "reward": last["reward"],
            **{name: last[name] for name in ("tokens_trained", "tokens_generated", "seconds", "cpu_seconds")},
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
        "tokens_answered": last["tokens_answered"],
        "rows_shortened": shortened,
        **best.facts,
    }
