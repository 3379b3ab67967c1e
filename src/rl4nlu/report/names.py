"""How tables and figures name metrics, models, sources and methods, and in which rows methods stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..config import METHODS
from .published import PAPER_1, PAPER_2

METRIC_TITLES = {
    "accuracy": "acc.", "f1": "F1", "macro-f1": "F1", "matthews": "MCC", "spearman": "ρ", "pearson": "r",
    "multirc-f1a": "F1a", "multirc-em": "EM", "record-f1": "F1", "record-em": "EM", "gender-parity": "parity",
    "judge": "judge", "perplexity": "ppl", "output-perplexity": "output ppl", "bleu-4": "BLEU-4", "rouge-1": "R-1",
    "rouge-2": "R-2", "rouge-l": "R-L", "cider": "CIDEr", "coverage": "coverage", "meteor": "METEOR",
    "bertscore": "BERTScore", "spice": "SPICE", "polarity": "polarity", "facts": "facts",
}  # fmt: skip
"""Metrics as a second header line names them; ρ is Spearman's rank correlation."""

SOURCE_TITLES = {
    "microworld": "generated microworld test rows",
    "hub": "official development rows",
    "local": "official development rows (local files)",
}
"""What the reported rows of each source are."""

PRINTED_MODELS = {
    "llama2-7b-chat": "LLaMA2-7B-chat", "llama2-13b-chat": "LLaMA2-13B-chat", "llama2-7b-base": "LLaMA2-7B",
    "qwen2.5-7b-instruct": "Qwen2.5-7B-Instruct", "mpt-7b-chat": "MPT-7B-chat", "gpt-4o": "GPT-4o",
    "bert-base": "BERT-base", "bert-large": "BERT-large", "bert-large-stilts": "BERT-large++",
}  # fmt: skip
"""Titles of the papers' models."""

MODEL_FAMILIES = ("bert-base", "bert-large", "llama", "qwen", "mpt")
"""In table order; a model of ours stands for one of the paper's when both names hold one of these."""


def family(model: str) -> str:
    """Which of the paper's models a model stands for (its own name where none)."""
    return next((name for name in MODEL_FAMILIES if name in model), model)


DISCREPANCIES = {
    "sst2-no": (PAPER_1, "SST-2: “No” in SFT data, for Negative"),
    "sst2-no-guessed": (PAPER_1, "SST-2: “No”, scored as released"),
    "integers": (PAPER_1, "SuperGLUE: integers in SFT data, for words"),
    "integers-guessed": (PAPER_1, "SuperGLUE: integers, scored as released"),
    "random-fallback": (PAPER_1, "Random label for an unreadable answer"),
    "lenient-parser": (PAPER_1, "Lenient parser of test answers"),
    "other-prompt": (PAPER_1, "Other prompt in SFT than in the test"),
    "no-stop": (PAPER_1, "No stop at the closing tag"),
    "rewards-of-the-text": (PAPER_1, "Rewards 1, 0, −1 for +1, −1, −3"),
    "cosine": (PAPER_1, "Warm-up and cosine for a constant rate"),
    "rank-stabilised": (PAPER_1, "Rank-stabilised scale, 8 for 2"),
    "biases": (PAPER_1, "Biases trained"),
    "released": (PAPER_1, "The release as a whole"),
    "critic-gradients": (PAPER_2, "Critic’s gradients by the policy’s adapter"),
    "dropout-in-logprobs": (PAPER_2, "Dropout in old log-probabilities"),
    "first-step-clipping": (PAPER_2, "Gradients clipped in the first step alone"),
    "averaging": (PAPER_2, "Rewards averaged, not capped"),
    "truncation": (PAPER_2, "Response cut with its label, not the passage"),
    "rllr-released": (PAPER_2, "The release as a whole"),
}
"""Known discrepancies by the name of the variant that has them (`config/audit.yaml`): the paper, and what differs from main."""

BASELINES = tuple(name for name, method in METHODS.items() if method.loads is None)
"""Methods that answer without a model."""
ENCODER_METHODS = tuple(name for name, method in METHODS.items() if method.loads == "encoder")
DECODER_METHODS = tuple(name for name, method in METHODS.items() if method.loads == "decoder" and method.scored)
"""Methods that answer by a decoder."""
LABEL_METHODS = tuple(name for name in DECODER_METHODS if not METHODS[name].rationale)
"""Of these, methods that answer with the label alone: paper 1's, and what is compared with them."""

KIND_SUFFIXES = {"none": "", "st": "-ST", "mt": "-MT", "transfer": ", transfer"}
"""How the kind of a mixture (none, one task, a suite, another task) stands behind a method's title."""


@dataclass(frozen=True, order=True)
class MethodRow:
    """A method as a table's row, by the kind of its mixture: none, st, mt or transfer."""

    method: str
    kind: str

    @property
    def label(self) -> str:
        """Its name in tables."""
        return METHODS[self.method].title + KIND_SUFFIXES[self.kind]


def method_rows(methods: Iterable[str]) -> tuple[MethodRow, ...]:
    """Rows of methods: first those that train nothing, then single-task runs of the others, then multi-task ones."""
    names = list(methods)
    trained = [name for name in names if METHODS[name].module is not None]
    return (
        *(MethodRow(name, "none") for name in names if name not in trained),
        *(MethodRow(name, kind) for kind in ("st", "mt") for name in trained),
    )


LABEL_ROWS = method_rows(LABEL_METHODS)
"""The decoder rows of paper 1's tables, in order."""
