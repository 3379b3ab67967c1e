"""Roll-outs that policy and guide share (paper 3, section 2): one rolls in, the answer is cut at a switch, the other rolls out.

The whole answer is rewarded once. PPO++ is PPO on the prompt and the guide's prefix, and is written so: what the guide wrote is read
as the prompt is. In AggreVaTeD's roll-outs the policy's prefix takes the policy's loss and the guide's part the value's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...config import Rlgf
from ...tasks.prompts import CLOSE_TAG, OPEN_TAG
from ...tasks.reading import Reading
from ..rl.experience import Spans
from ..rl.rewards import mean
from ..rl.rollout import Prompt, RollOut, Sampler, is_right
from .algorithms import MODES, choose_mode, draw_switches, switch_at
from .guides import Guide, chance_of

if TYPE_CHECKING:
    from ...runs.spec import RunSpec

THIRDS = ("early", "middle", "late")


class SharedRollOuts:
    """Gives a run's roll-outs, in the mode of each; saved and restored with it."""

    def __init__(self, spec: RunSpec, sampler: Sampler, guide: Guide) -> None:
        assert isinstance(spec.settings, Rlgf)
        self.spec, self.sampler, self.guide, self.settings = spec, sampler, guide, spec.settings
        self.steps = self.settings.prompts // self.settings.batch_size
        self.step = self.guided = self.dropped = 0

    def __call__(self, prompts: Sequence[Prompt]) -> RollOut:
        """One answer a prompt; the critic of the mode is put to use."""
        spec, policy = self.spec, self.sampler.policy
        mode = choose_mode(spec.method, self.step, self.steps, self.settings, chance_of(spec, "mode", self.step))
        policy.head = policy.heads.get(mode, policy.head)
        has, places = draw_switches(len(prompts), self.settings.roll_in, chance_of(spec, "switch", self.step))
        found = self.guide_first(prompts, has, places) if mode == "ppo++" else self.policy_first(prompts, has, places)
        self.step += 1
        more = {"mode": mode, "tokens_guided": self.guided, "not_continued": self.dropped, **found.more}
        return replace(found, more=more)

    def guide_first(self, prompts: Sequence[Prompt], has: list[bool], places: list[float]) -> RollOut:
        """PPO++: the guide rolls in, the policy rolls out; the guide's prefix is read with the prompt."""
        rows = [n for n, one in enumerate(has) if one]
        rolled = self.guide.write([prompts[n] for n in rows], [[]] * len(rows), self.step) if rows else []
        lengths, prefixes = [0] * len(prompts), [list[int]() for _ in prompts]
        rooms = self.sampler.rooms(prompts)
        for n, answer in zip(rows, rolled, strict=True):
            assert answer is not None  # nothing was begun
            self.guided += len(answer)
            lengths[n] = min(len(answer), self.length_before_label(answer), rooms[n])
            prefixes[n] = answer[: switch_at(places[n], lengths[n])]
        answers = self.sampler.complete(prompts, prefixes)
        texts, readings = self.sampler.read(prompts, answers)
        responses = [answer[len(prefix) :] for answer, prefix in zip(answers, prefixes, strict=True)]
        read = [prompt.tokens + prefix for prompt, prefix in zip(prompts, prefixes, strict=True)]
        more = describe_switches(prompts, readings, [len(prefix) for prefix in prefixes], lengths)
        return RollOut(prompts, responses, texts, readings, read, more=more)

    def policy_first(self, prompts: Sequence[Prompt], has: list[bool], places: list[float]) -> RollOut:
        """AggreVaTeD: the policy rolls in where there is a roll-in, and the guide rolls out from the switch."""
        rows = [n for n, one in enumerate(has) if one]
        rolled = dict(zip(rows, self.sampler.complete([prompts[n] for n in rows]) if rows else [], strict=True))
        lengths = [len(rolled.get(n, ())) for n in range(len(prompts))]
        switches = [switch_at(place, length) for place, length in zip(places, lengths, strict=True)]
        begun = [rolled.get(n, [])[:k] for n, k in enumerate(switches)]
        answers, ends = [], []
        for n, answer in enumerate(self.guide.write(prompts, begun, self.step)):
            if answer is None:  # nothing goes on from these tokens: the policy's own answer stands, and teaches nothing
                self.dropped += 1
                switches[n] = 0
            else:
                self.guided += len(answer) - len(begun[n])
            answers.append(rolled[n] if answer is None else answer)
            ends.append(0 if answer is None else len(answer))
        texts, readings = self.sampler.read(prompts, answers)
        more = describe_switches(prompts, readings, switches, lengths)
        sampled = sum(map(len, rolled.values()))
        return RollOut(prompts, answers, texts, readings, None, self.spans_of(switches, ends), sampled, more)

    def spans_of(self, switches: list[int], ends: list[int]) -> Spans:
        """What answers teach of which the policy wrote the tokens before the switch, and the guide those up to the end."""
        own = [range(k) for k in switches]
        others = [range(k, end) for k, end in zip(switches, ends, strict=True)]
        if self.settings.phase_mask == "released" and len(MODES[self.spec.method]) > 1:
            return Spans(own, others, own)
        return Spans(
            own, [range(max(0, k - 1), k) for k in switches] if self.settings.credit == "last" else own, others
        )

    def length_before_label(self, answer: list[int]) -> int:
        """The length of a guide's answer below which the switch lies before the first tag: no prefix opens, or names, the label."""
        if self.sampler.response != "rationale":
            return len(answer)
        (text,) = self.sampler.decode([answer])
        starts = [text.index(tag) for tag in (OPEN_TAG, CLOSE_TAG) if tag in text]
        length = 1
        while length < len(answer) and starts and len(self.sampler.decode([answer[:length]])[0]) <= min(starts):
            length += 1
        return length if starts else len(answer)

    def state(self) -> dict[str, Any]:
        """See `loop.Carried`."""
        counted = {name: getattr(self, name) for name in ("step", "guided", "dropped")}
        return counted | {"sampler": self.sampler.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `loop.Carried`."""
        self.step, self.guided, self.dropped = (state[name] for name in ("step", "guided", "dropped"))
        self.sampler.restore(state["sampler"])


def describe_switches(
    prompts: Sequence[Prompt], readings: Sequence[Reading], switches: Sequence[int], lengths: Sequence[int]
) -> dict[str, Any]:
    """What the history says of switches: their mean, and the answers' accuracy by the third of the roll-in that they lie in."""
    right: dict[str, list[float]] = {name: [] for name in THIRDS}
    for prompt, reading, k, length in zip(prompts, readings, switches, lengths, strict=True):
        if k and prompt.row.label is not None:
            right[THIRDS[3 * k // length]].append(float(is_right(prompt.task, reading.label, prompt.row)))
    by_third = {f"accuracy_{name}": mean(found) for name, found in right.items()}
    return {"switch": mean([k for k in switches if k]), **by_third}
