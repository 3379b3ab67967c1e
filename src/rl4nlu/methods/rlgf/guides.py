"""Guides: what begins answers for a policy, or goes on with its own; a guide is sampled from, and never learns.

All of them speak in the policy's tokens. A guide with another tokenizer, or behind a server, gives text: what the policy has
begun and the guide's text are tokenised as one answer, and what follows the policy's own tokens is taken. Where these come out
as other tokens, there is nothing to take.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ...answering.answer import Answer
from ...answering.decoder import measure_texts
from ...answering.fit import fit_prompts, last_word
from ...answering.generate import generate_tokens
from ...answering.labels import main_score
from ...base.errors import ConfigError
from ...base.files import digest_of
from ...config import Rlgf
from ...models.cache import NOT_THE_ANSWER, Cache, ask_once
from ...models.endpoint import ask_endpoint
from ...models.load import encode_answer, end_tokens, load_adapter, load_backbone, load_tokenizer
from ...tasks.prompts import answer_start, write_prompt
from ...tasks.rows import rows_of
from ..rl.rollout import Prompt, Sampler, room_for

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...runs.spec import RunSpec

Written = list[list[int] | None]
"""Whole answers in the policy's tokens, each beginning as it was begun; None where that comes out as other tokens."""

GUIDE_SECTION = "rlgf.guide_endpoint"

GO_ON = """Below are a prompt and the beginning of an answer to it, which may be empty. Go on with the answer exactly where it ends, in
the form that the prompt asks for. Write only what follows; repeat nothing.

{prompt}{begun}"""
"""What a server is asked; wording of our own."""


class Guide(Protocol):
    """Begins answers, or goes on with them."""

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> Written:
        """Whole answers to `prompts`, each from how it has `begun`; another `draw` gives others."""

    def digest(self) -> str | None:
        """Names its weights; None where it has none of its own that could stay the same."""


def open_guide(spec: RunSpec, sampler: Sampler, folder: Path | None, cache: Path | None) -> Guide:
    """The guide that the run's settings name.

    Args:
        spec: the resolved run.
        sampler: of the policy, before its first step.
        folder: of the SFT run whose adapter the guide has, if any.
        cache: folder of a server's texts.

    Raises:
        ConfigError: the model or the adapter does not load, or there is no folder for a server's texts.
    """
    settings = spec.settings
    assert isinstance(settings, Rlgf)
    if settings.guide == "start":
        return StartGuide(spec, sampler)
    if settings.guide == "model":
        return ModelGuide(spec, sampler, folder)
    if settings.guide == "endpoint":
        return ServerGuide(spec, sampler, cache)
    return ReferenceGuide()


def score_guide(spec: RunSpec, guide: Guide, sampler: Sampler, data: Path) -> float:
    """Mean over the run's training tasks of their main metric on the guide's own answers to the validation rows."""
    scores = []
    strict = spec.protocol.model_copy(update={"parser": "strict"})
    for task in spec.train_tasks:
        rows = rows_of(data, task.name, "validation")
        longest = spec.model_spec.max_length - room_for(task, sampler.settings)
        fitted = fit_prompts(sampler.tokenizer, task, rows, spec.protocol, longest)
        prompts = [Prompt(task, row, one.tokens) for row, one in zip(rows, fitted, strict=True)]
        written = [answer or [] for answer in guide.write(prompts, [[]] * len(prompts), -1)]
        texts = [text.strip() for text in sampler.decode(written)]
        answers = [Answer(text) for text in texts]
        if task.answer == "text":
            model, tokenizer, metrics = sampler.policy.model, sampler.tokenizer, task.metrics[:1]
            measured = measure_texts(spec, model, tokenizer, task, rows, fitted, written, texts, metrics)
            answers = [replace(answer, measured=more) for answer, more in zip(answers, measured, strict=True)]
        scores.append(main_score(task, rows, answers, strict, data))
    return sum(scores) / len(scores)


def digest_weights(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Names weights by their names and bits."""
    found = hashlib.sha256()
    for name, weight in weights:
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def chance_of(spec: RunSpec, what: str, draw: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Random numbers of a run for one purpose and one draw, so that none has to be saved."""
    return torch.Generator(device).manual_seed(int(digest_of([spec.seed, what, draw])[:12], 16))


def rooms_of(sampler: Sampler, prompts: Sequence[Prompt]) -> list[int]:
    """The longest answer to each prompt that a guide may begin or go on with."""
    settings = sampler.settings
    assert isinstance(settings, Rlgf)
    most = settings.guide_max_new_tokens
    return [room if most is None else min(room, most) for room in sampler.rooms(prompts)]


class StartGuide:
    """The policy that the run started from, or the policy as it now is (`guide_weights: learner`), sampled as a guide."""

    def __init__(self, spec: RunSpec, sampler: Sampler) -> None:
        assert isinstance(spec.settings, Rlgf)
        self.spec, self.sampler, self.settings = spec, sampler, spec.settings

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> Written:
        """See `Guide`."""
        policy = self.sampler.policy
        with policy.reference() if self.settings.guide_weights == "frozen" else nullcontext():
            answers = self.sampler.write(
                policy.model,
                prompts,
                begun,
                rooms=rooms_of(self.sampler, prompts),
                top_p=self.settings.guide_top_p,
                top_k=self.settings.guide_top_k,
                generator=chance_of(self.spec, "guide", draw, self.sampler.device),
            )
        return list(answers)

    def digest(self) -> str | None:
        """Of the backbone and, where the run starts from SFT, of its adapter."""
        if self.settings.guide_weights == "learner":
            return None
        weights = self.sampler.policy.model.named_parameters()
        return digest_weights((name, weight) for name, weight in weights if ".default." not in name)


class TextGuide:
    """What guides that give text share: the texts as answers in the policy's tokens."""

    def __init__(self, spec: RunSpec, sampler: Sampler) -> None:
        assert isinstance(spec.settings, Rlgf)
        self.spec, self.sampler, self.settings = spec, sampler, spec.settings

    def before(self, prompt: Prompt) -> str:
        """The end of a prompt, behind which its answer is tokenised."""
        if prompt.task.answer != "text":
            return answer_start(self.spec.protocol)
        protocol = self.spec.protocol
        return last_word(write_prompt(prompt.task, prompt.row.fields, protocol=protocol), protocol)

    def text_of(self, prompt: Prompt, begun: list[int]) -> str:
        """The text of what the policy has begun."""
        return text_behind(self.sampler.tokenizer, self.before(prompt), begun)

    def join(self, prompt: Prompt, begun: list[int], text: str, ended: bool, room: int) -> list[int] | None:
        """What is `begun` and the `text` behind it as one answer of at most `room` tokens, with the end token if it has `ended`."""
        tokenizer, whole = self.sampler.tokenizer, self.text_of(prompt, begun) + text
        tokens = encode_answer(tokenizer, whole, self.before(prompt)) if whole else []
        if tokens[: len(begun)] != begun:
            return None
        if (ended or len(tokens) == len(begun)) and not (self.sampler.stop and self.sampler.stop in whole):
            tokens = [*tokens, int(tokenizer.eos_token_id)]  # type: ignore[arg-type]
        return tokens[: max(room, len(begun))]


def text_behind(tokenizer: PreTrainedTokenizerBase, before: str, tokens: list[int]) -> str:
    """The text of tokens that follow the text `before`; alone, some tokenizers would drop the space that they begin with."""
    start: list[int] = tokenizer.encode(before, add_special_tokens=False)
    whole, known = (
        str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        for ids in (start + tokens, start)
    )
    return whole[len(known) :]


class ModelGuide(TextGuide):
    """Another decoder on this machine, with its own tokenizer and perhaps an adapter."""

    def __init__(self, spec: RunSpec, sampler: Sampler, folder: Path | None) -> None:
        super().__init__(spec, sampler)
        assert spec.guide_spec is not None
        self.tokenizer, decoder = load_tokenizer(spec.guide_spec), load_backbone(spec.guide_spec)
        self.model: Any = load_adapter(decoder, folder / "adapter") if folder else decoder

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> Written:
        """See `Guide`; the guide's own prompts are written and fitted for it, and lengths are counted in its tokens."""
        rooms, own = rooms_of(self.sampler, prompts), list(map(self.own_tokens, prompts, begun))
        left = [max(0, room - len(tokens)) for room, tokens in zip(rooms, begun, strict=True)]
        least = [prompt.task.least_tokens - len(tokens) for prompt, tokens in zip(prompts, begun, strict=True)]
        completions = generate_tokens(
            self.model,
            [tokens + start for tokens, start in zip(self.read(prompts), own, strict=True)],
            tokenizer=self.tokenizer,
            max_new_tokens=left,
            min_new_tokens=least,
            sample=True,
            top_p=self.settings.guide_top_p,
            top_k=self.settings.guide_top_k,
            generator=chance_of(self.spec, "guide", draw, self.sampler.device),
            stop=self.sampler.stop,
            batch_tokens=self.settings.micro_batch_tokens,
        )
        ends, stop, written = end_tokens(self.model, self.tokenizer), self.sampler.stop, []
        for prompt, start, tokens, begins, room in zip(prompts, own, completions, begun, rooms, strict=True):
            said = [token for token in tokens if token not in ends]
            before = self.before(prompt)
            known = text_behind(self.tokenizer, before, start)
            text = text_behind(self.tokenizer, before, start + said)[len(known) :]
            if stop and stop in text:
                text = text[: text.index(stop) + len(stop)]
            written.append(self.join(prompt, begins, text, len(said) < len(tokens), room))
        return written

    def read(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """The prompts in the guide's tokens, each fitted to what it can read."""
        assert self.spec.guide_spec is not None
        found: dict[int, list[int]] = {}
        for task in self.spec.train_tasks:
            numbers = [n for n, prompt in enumerate(prompts) if prompt.task.name == task.name]
            rows = [prompts[n].row for n in numbers]
            room = 2 * room_for(task, self.settings)  # for what the policy has begun, and for what goes on with it
            fitted = fit_prompts(self.tokenizer, task, rows, self.spec.protocol, self.spec.guide_spec.max_length - room)
            found |= {n: one.tokens for n, one in zip(numbers, fitted, strict=True)}
        return [found[n] for n in range(len(prompts))]

    def own_tokens(self, prompt: Prompt, begun: list[int]) -> list[int]:
        """What the policy has begun, in the guide's tokens."""
        text = self.text_of(prompt, begun)
        return encode_answer(self.tokenizer, text, self.before(prompt)) if text else []

    def digest(self) -> str | None:
        """Of the decoder and its adapter."""
        return digest_weights(self.model.named_parameters())


class ServerGuide(TextGuide):
    """A server that speaks OpenAI's chat-completions protocol; its texts are kept by model, question, seed and draw, and asked for once."""

    def __init__(self, spec: RunSpec, sampler: Sampler, cache: Path | None) -> None:
        super().__init__(spec, sampler)
        endpoint = self.settings.guide_endpoint
        assert endpoint is not None
        if cache is None:
            raise ConfigError(f"{GUIDE_SECTION}: no folder is given in which the server's texts are kept")
        self.endpoint = endpoint
        self.model = endpoint.model_dump(mode="json", exclude=NOT_THE_ANSWER)
        self.cache = Cache(cache / f"{digest_of(self.model)}.jsonl")

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> Written:
        """See `Guide`. Servers answer anew rather than continue: they are asked to go on, and what they repeat is cut off.

        Raises:
            ConfigError: the server fails for good; what it said before is kept.
        """
        rooms, own = rooms_of(self.sampler, prompts), list(map(self.text_of, prompts, begun))
        asked = [
            GO_ON.format(prompt=write_prompt(p.task, p.row.fields, protocol=self.spec.protocol).text, begun=text)
            for p, text in zip(prompts, own, strict=True)
        ]
        seen: Counter[str] = Counter()
        keys = []
        for question in asked:
            seen[question] += 1  # a question that comes twice in a roll-out has two answers
            keys.append(digest_of([self.model, question, self.spec.seed, draw, seen[question], max(rooms)]))
        ask_once(self.cache, keys, asked, partial(self.ask, longest=max(rooms)), Counter())
        said = [self.cache.answers[key] for key in keys]
        written: Written = []
        for prompt, start, text, answer, room in zip(prompts, begun, own, said, rooms, strict=True):
            more = self.go_on(self.before(prompt), text, answer)
            written.append(self.join(prompt, start, more, True, room))
        return written

    def ask(self, prompts: Sequence[str], longest: int) -> Any:
        """The server's answers as they come."""
        return ask_endpoint(self.endpoint, prompts, longest, GUIDE_SECTION)

    def go_on(self, before: str, begun: str, answer: str) -> str:
        """What an answer adds to the text that is begun behind the text `before`: its repetition is cut off, as is all behind the stop.

        Servers trim what they say: a space is put before it where the text before ends with none and punctuation does not follow.
        """
        stop = self.sampler.stop
        if begun.strip() and answer.lstrip().startswith(begun.strip()):
            answer = answer.lstrip()[len(begun.strip()) :]
        if stop and stop in answer:
            answer = answer[: answer.index(stop) + len(stop)]
        spaced = (before + begun)[-1:].isspace() or answer[:1].isspace() or answer[:1] in ".,;:!?)"
        return answer if spaced or not answer else f" {answer}"

    def digest(self) -> str | None:
        """None: its weights are not here."""
        return None


class ReferenceGuide:
    """The rows' gold answers: a guide that is never wrong and knows one answer a row; it goes on with nothing."""

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> Written:
        """See `Guide`."""
        assert not any(begun)
        return [prompt.gold for prompt in prompts]

    def digest(self) -> str | None:
        """None: it has no weights."""
        return None
