"""From documents with control characters to padded batches: token numbers, what counts in the loss, what the auxiliary head learns."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import corpus
from .curriculum import Curriculum
from .generators import marked_rows
from .skills import ANSWER, ANSWER_END, CLAIM, CLAIM_END, CONTENT_WORDS, MARK, claim
from .world import choose_facts, passage, unmark

if TYPE_CHECKING:
    import torch

CONTROL = re.compile(f"([{CLAIM}{CLAIM_END}{ANSWER}{ANSWER_END}{MARK}])")
IS_ANSWER, IS_CLAIM, IS_WRONG = 1, 2, 4
POOL = 800  # documents sorted by length at a time


@dataclass
class DocumentBatch:
    """Padded rows: numbers, per token the flags, and the true lengths."""

    ids: torch.Tensor
    flags: torch.Tensor
    lengths: torch.Tensor
    types: torch.Tensor | None = None
    kinds: tuple[str, ...] = ()


def strip_controls(document: str) -> tuple[str, np.ndarray]:
    """The text that a model sees and the flags of each of its characters."""
    pieces, flags, state, wrong = [], [], 0, False
    for piece in CONTROL.split(document):
        if piece == CLAIM:
            state |= IS_CLAIM
        elif piece == CLAIM_END:
            state &= ~IS_CLAIM
        elif piece == ANSWER:
            state |= IS_ANSWER
        elif piece == ANSWER_END:
            state &= ~IS_ANSWER
        elif piece == MARK:
            wrong = True
        elif piece:
            part = np.full(len(piece), state, dtype=np.uint8)
            if wrong:
                word = re.match(r"\w+", piece)
                part[: word.end() if word else 0] |= IS_WRONG
                wrong = False
            pieces.append(piece)
            flags.append(part)
    return "".join(pieces), np.concatenate(flags) if flags else np.zeros(0, np.uint8)


def encode(tokenizer: Any, documents: list[str], special: bool = True) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token numbers and token flags of some documents; with `special`, BOS first and EOS last."""
    stripped = [strip_controls(d) for d in documents]
    core = tokenizer._tokenizer
    core.no_padding()  # a tokenizer that once padded (a probe does) would go on padding
    out = []
    for (_, flags), code in zip(
        stripped, core.encode_batch([t for t, _ in stripped], add_special_tokens=False), strict=True
    ):
        ids = np.array(code.ids, dtype=np.int64)
        ends = np.array([e for _, e in code.offsets], dtype=np.int64) - 1
        marks = flags[ends] if len(ids) else np.zeros(0, np.uint8)
        if special:
            ids = np.concatenate([[tokenizer.bos_token_id], ids, [tokenizer.eos_token_id]])
            last = marks[-1] & IS_ANSWER if len(marks) else 0
            marks = np.concatenate([[0], marks, [last]]).astype(np.uint8)
        out.append((ids, marks))
    return out


def rounded(length: int, multiple: int = 16) -> int:
    """A length rounded up to a multiple."""
    return -(-length // multiple) * multiple


def pad(rows: list[Any], pad_id: int) -> DocumentBatch:
    """Rows padded on the right to a multiple of sixteen tokens: few distinct shapes, few kernels to be prepared."""
    import torch

    width = rounded(max(len(r[0]) for r in rows))
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    flags = np.zeros((len(rows), width), dtype=np.uint8)
    types = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row[0])], flags[i, : len(row[0])] = row[0], row[1]
        if len(row) > 2 and not isinstance(row[2], str):
            types[i, : len(row[0])] = row[2]
    lengths = torch.tensor([len(r[0]) for r in rows])
    kinds = tuple(r[2] for r in rows if len(r) > 2 and isinstance(r[2], str))
    return DocumentBatch(
        torch.from_numpy(ids), torch.from_numpy(flags), lengths, None if kinds else torch.from_numpy(types), kinds
    )


def bucket(rows: list[Any], tokens: int, pad_id: int, rng: random.Random) -> list[DocumentBatch]:
    """Rows sorted by length into batches of at most `tokens` padded tokens, the batches in random order."""
    groups: list[list[Any]] = [[]]
    for row in sorted(rows, key=lambda r: len(r[0])):
        if groups[-1] and rounded(len(row[0])) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return [pad(g, pad_id) for g in groups]


def decoder_batches(tokenizer: Any, seed: int, tokens: int, curriculum: Curriculum) -> Iterator[DocumentBatch]:
    """Batches of the curriculum without end."""
    rng = random.Random(f"batches|{seed}")
    stream = corpus.documents(seed, curriculum)
    while True:
        pool = [next(stream) for _ in range(POOL)]
        codes = encode(tokenizer, [text for _, text in pool])
        yield from bucket(
            [(*code, kind) for code, (kind, _) in zip(codes, pool, strict=True)], tokens, tokenizer.pad_token_id, rng
        )


def _pair_texts(rng: random.Random, streams: dict[str, Iterator[Any]]) -> tuple[str, str]:
    """Two texts for an encoder, in the order in which tasks give them; marks stay in what is judged."""
    task = rng.choices(list(corpus.TASK_WEIGHTS), list(corpus.TASK_WEIGHTS.values()))[0]
    case = corpus.cases(task, next(streams[task]), rng)
    texts = {k: claim(v) if k in case.claims else unmark(v) for k, v in case.texts.items()}
    if task in ("cola", "sst2"):
        return texts["a"], ""
    if task == "copa":
        return f"{texts['a']} {texts['q']}", f"{texts['b']} {texts['c']}" if rng.random() < 0.5 else rng.choice(
            (texts["b"], texts["c"])
        )
    if task == "multirc":
        return texts["a"], f"{texts['b']} {texts['c']}"
    if "c" in texts:
        return texts["a"], f"{texts['b']} {texts['c']}" if rng.random() < 0.5 else texts["b"]
    return texts["a"], texts["b"]


def _list_pair(rng: random.Random) -> tuple[str, str]:
    """Two word lists that agree or differ in one word: an encoder's warm-up."""
    words = rng.sample(CONTENT_WORDS, rng.randint(2, 7))
    other = list(words)
    if rng.random() < 0.5:
        other[rng.randrange(len(words))] = "~" + rng.choice(CONTENT_WORDS)
    return " ".join(words), claim(" ".join(other))


def encoder_batches(tokenizer: Any, seed: int, tokens: int, progress: Callable[[], float]) -> Iterator[DocumentBatch]:
    """Batches of `[CLS] A [SEP] B [SEP]` without end; word lists come first, task texts take over."""
    rng = random.Random(f"encoder|{seed}")
    streams = {task: marked_rows(task, "train", f"corpus{seed}") for task in corpus.TASK_WEIGHTS}
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    while True:
        lists = max(0.05, 0.9 - 5 * progress())
        kinds = rng.choices((0, 1, 2), (lists, 0.95 * (1 - lists), 0.05 * (1 - lists)), k=POOL)
        pairs = [
            _list_pair(rng)
            if k == 0
            else _pair_texts(rng, streams)
            if k == 1
            else (passage(rng, choose_facts(rng, 3, 0.1)), "")
            for k in kinds
        ]
        first, second = (encode(tokenizer, [p[i] for p in pairs], special=False) for i in (0, 1))
        rows = []
        for (a, fa), (b, fb) in zip(first, second, strict=True):
            tail = [b, [sep]] if len(b) else []
            ids = np.concatenate([[cls], a, [sep], *tail])
            flags = np.concatenate([[0], fa, [0], *([fb, [0]] if len(b) else [])]).astype(np.uint8)
            rows.append((ids, flags, (np.arange(len(ids)) > len(a) + 1).astype(np.int64)))
        yield from bucket(rows, tokens, tokenizer.pad_token_id, rng)
