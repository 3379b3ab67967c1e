"""Roll-outs that policy and guide share: what is kept, what is read, what teaches, and what the history says of it."""

import pytest
import torch
from guided import Told, prompts_of, sampler_of, spec_of
from roll_outs import WORDS

from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl import update as update_module
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.policy import forward
from rl4nlu.methods.rlgf.algorithms import draw_switches, switch_at
from rl4nlu.methods.rlgf.guides import chance_of, open_guide
from rl4nlu.methods.rlgf.roll_in import SharedRollOuts, describe_switches
from rl4nlu.tasks.reading import Reading

ID = {word: number for number, word in enumerate(WORDS)}
ANSWER = [ID[word] for word in (" ", "Positive", " ", "</Judgement>")]
REASON = [ID[word] for word in ("good", "film", "<Judgement>", "Positive", "</Judgement>")]
EIGHT = ["t"] * 8
SCORES = [1.0, -1.0, -3.0, 1.0, 1.0, -1.0, 1.0, -3.0]


def shared(place, method="ppo++", guide=None, **more):
    """A run's roll-outs, their prompts, and the first of them."""
    spec = spec_of(place, method, **more)
    sampler = sampler_of(spec)
    collect = SharedRollOuts(spec, sampler, guide or open_guide(spec, sampler, None, None))
    prompts = prompts_of(spec, place)
    return collect, prompts, collect(prompts)


def switches_of(collect, lengths):
    """The switches of the first roll-out, drawn anew."""
    has, places = draw_switches(len(lengths), collect.settings.roll_in, chance_of(collect.spec, "switch", 0))
    return [switch_at(p, n) if one else 0 for one, p, n in zip(has, places, lengths, strict=True)]


def test_ppo_pp_reads_the_guides_prefix_with_the_prompt_and_goes_on_from_it(place):
    guide = Told(ANSWER)
    collect, prompts, found = shared(place, guide=guide)
    switches = switches_of(collect, [4] * 8)
    assert {0, 1, 2, 3} >= set(switches) > {0}
    assert found.inputs == [p.tokens + ANSWER[:k] for p, k in zip(prompts, switches, strict=True)]
    assert all(1 <= len(r) <= 6 - k for r, k in zip(found.responses, switches, strict=True))
    texts = collect.sampler.decode([ANSWER[:k] + r for r, k in zip(found.responses, switches, strict=True)])
    assert found.texts == texts
    assert found.spans is None  # all that it learns from is the policy's
    assert guide.asked == [[[]] * sum(k > 0 for k in switches)]  # no one asks for what is not used
    assert found.more["tokens_guided"] == 4 * sum(k > 0 for k in switches)
    assert found.more["switch"] == pytest.approx(sum(switches) / sum(k > 0 for k in switches))


def test_aggrevateds_answer_is_the_policys_prefix_and_the_guides_rest(place):
    guide = Told(ANSWER)
    collect, prompts, found = shared(place, "aggrevated", guide=guide)
    again = sampler_of(collect.spec)
    has, _ = draw_switches(8, 0.8, chance_of(collect.spec, "switch", 0))
    rolled = iter(again.complete([p for p, one in zip(prompts, has, strict=True) if one]))
    own = [next(rolled) if one else [] for one in has]
    switches = switches_of(collect, list(map(len, own)))
    assert any(k > 1 for k in switches)
    assert found.responses == [o[:k] + ANSWER for o, k in zip(own, switches, strict=True)]
    assert guide.asked == [[o[:k] for o, k in zip(own, switches, strict=True)]]
    assert found.inputs is None
    assert found.spans.own == found.spans.learns == [range(k) for k in switches]
    assert found.spans.valued == [range(k, k + 4) for k in switches]
    assert found.sampled == sum(map(len, own))
    assert found.more["tokens_guided"] == 32


@pytest.mark.parametrize(
    ("credit", "learns"),
    [("all", [range(0, 3), range(0), range(0, 1)]), ("last", [range(2, 3), range(0), range(0, 1)])],
)
def test_credit_is_given_to_all_of_the_policys_tokens_or_to_the_last(place, credit, learns):
    collect, _, _ = shared(place, "aggrevated", guide=Told(ANSWER), credit=credit)
    spans = collect.spans_of([3, 0, 1], [5, 4, 1])
    assert spans.learns == learns
    assert spans.own == [range(3), range(0), range(1)]
    assert spans.valued == [range(3, 5), range(4), range(1, 1)]


@pytest.mark.parametrize("method", ["ppo++", "aggrevated", "lols", "d2lols"])
@pytest.mark.parametrize("mask", ["own", "released"])
def test_no_token_of_the_guides_moves_the_policy_but_under_the_releases_mask(place, method, mask, monkeypatch):
    """The policy's gradient with the guide's log-probabilities held constant is the gradient; LOLS and D2LOLS begin with AggreVaTeD here."""
    more = {"phase_mask": mask, "lols_share": 0.0, "epochs": 1, "minibatch_size": 8, "value_coefficient": 0.0}
    found = []
    for hold in (False, True):
        collect, prompts, roll_out = shared(place, method, **more)
        read = roll_out.inputs or [prompt.tokens for prompt in prompts]
        policy = collect.sampler.policy
        experience, _ = gather_experience(
            policy, read, roll_out.responses, EIGHT, SCORES, 0.1, collect.settings, ppo.PPO, roll_out.spans
        )
        assert experience.own.sum() > 0

        def constant(policy, prompts, responses, settings, own=experience.own, hold=hold, told=roll_out.responses):
            new = forward(policy, prompts, responses, settings)
            rows = [next(n for n, one in enumerate(told) if one is response) for response in responses]
            held = torch.where(own[rows, : new.logp.shape[1]] > 0, new.logp, new.logp.detach())
            return new._replace(logp=held) if hold else new

        monkeypatch.setattr(update_module, "forward", constant)
        before = [p.detach().clone() for p in policy.adapter_parameters()]
        monkeypatch.setattr(update_module.nn.utils, "clip_grad_norm_", lambda *_: None)
        update_module.update(
            policy, torch.optim.SGD(policy.parameters(), 1.0), experience, collect.settings,
            torch.Generator().manual_seed(0), ppo.PPO,
        )  # fmt: skip
        found.append([old - new.detach() for old, new in zip(before, policy.adapter_parameters(), strict=True)])
    same = all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert max(float(g.abs().max()) for g in found[0]) > 1e-5
    assert same == (mask == "own" or method in ("ppo++", "aggrevated"))


def test_the_guide_may_be_given_less_room_as_the_release_does(place):
    """Where the policy's prefix is as long already, the guide adds nothing, and no token teaches the value."""
    _, _, found = shared(place, "aggrevated", guide_max_new_tokens=2, roll_in=1.0)
    lengths, own = list(map(len, found.responses)), list(map(len, found.spans.own))
    assert any(k > 2 for k in own)
    assert all(n == k if k >= 2 else n <= 2 for n, k in zip(lengths, own, strict=True))
    assert all(len(v) == n - k for v, n, k in zip(found.spans.valued, lengths, own, strict=True))
    _, _, rolled = shared(place, "ppo++", guide_max_new_tokens=2, roll_in=1.0)
    assert {len(i) - len(p.tokens) for i, p in zip(rolled.inputs, rolled.prompts, strict=True)} <= {0, 1}


def test_a_guides_rationale_never_reaches_the_answers_tag(place):
    collect, prompts, found = shared(place, guide=Told(REASON), protocol={"response": "rationale"}, roll_in=1.0)
    switches = [len(i) - len(p.tokens) for i, p in zip(found.inputs, prompts, strict=True)]
    for _ in range(8):
        again = collect(prompts)
        switches += [len(i) - len(p.tokens) for i, p in zip(again.inputs, prompts, strict=True)]
    assert set(switches) == {1, 2}  # the tag is the third token
    assert collect.length_before_label([*REASON[:2], ID["film"], ID["good"]]) == 4  # without a tag
    assert collect.length_before_label(REASON[2:]) == 1  # no reason at all: nothing is kept
    labelled, _, _ = shared(place, guide=Told(ANSWER), roll_in=1.0)
    assert labelled.length_before_label(ANSWER) == 4


def test_the_history_tells_accuracy_by_the_third_in_which_the_switch_lies(place):
    _, prompts, _ = shared(place, guide=Told(ANSWER))
    labels = [p.row.label for p in prompts]
    wrong = {"0": "1", "1": "0"}
    said = [labels[0], wrong[labels[1]], labels[2], labels[3], wrong[labels[4]], labels[5], None, labels[7]]
    found = describe_switches(
        prompts, [Reading("", label, None) for label in said], [1, 2, 3, 4, 6, 0, 7, 8], [9, 9, 9, 9, 9, 9, 9, 9]
    )
    assert found == {
        "switch": pytest.approx(31 / 7),
        "accuracy_early": 0.5,  # switches 1 and 2 of 9: right, wrong
        "accuracy_middle": 1.0,  # 3 and 4
        "accuracy_late": pytest.approx(1 / 3),  # 6, 7 and 8: wrong, unreadable, right
    }
    assert describe_switches(prompts[:1], [Reading("", None, None)], [0], [0])["accuracy_early"] is None


def test_a_row_that_nothing_goes_on_from_keeps_the_policys_answer_and_teaches_nothing(place):
    class Lost(Told):
        def write(self, prompts, begun, draw):
            written = super().write(prompts, begun, draw)
            self.lost = next(n for n, own in enumerate(begun) if own)
            written[self.lost] = None
            return written

    guide = Lost(ANSWER)
    collect, prompts, found = shared(place, "aggrevated", guide=guide)
    row = guide.lost
    assert [spans[row] for spans in (found.spans.own, found.spans.learns, found.spans.valued)] == [range(0)] * 3
    assert found.responses[row][: len(guide.asked[0][row])] == guide.asked[0][row]
    assert ANSWER not in [found.responses[row][-4:]]
    assert found.more["not_continued"] == 1
    assert collect(prompts).more["not_continued"] == 2
