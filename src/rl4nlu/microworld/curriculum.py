"""Which documents pretraining shows when: stages that open by measured competence, with every skill rehearsed to the end.

Bare copying comes first and alone, because mixed with everything else it is hardly learned; then comparing words and lists; then claims about
passages; then instructions. A stage closes when its skills pass their mark on training documents, or at the latest at its share of the budget.
Within a stage, what is known less well is shown more often.
"""

from __future__ import annotations

from dataclasses import dataclass, field

STAGES: tuple[dict[str, float], ...] = (
    {"copy_list": 1.0},
    {"key_values": 0.7, "same_words": 1.0, "membership": 1.0, "same_lists": 1.2},
    {
        "verification": 3.0,
        "reading": 0.6,
        "retelling": 0.4,
        "linked_events": 0.6,
        "senses": 2.0,
        "opinions": 0.4,
        "grammar": 2.0,
        "causes": 0.3,
        "three_way": 0.8,
    },
    {"instruction": 1.0, "reasons": 1.2},
)
MARKS = (0.93, 0.88, 0.80, 1.1)  # the mean accuracy at which a stage closes (the last one never does)
LATEST = (0.12, 0.32, 0.55, 1.1)  # the share of the budget at which it closes anyway
NEW_SHARE = (1.0, 0.75, 0.7, 0.62)  # of the documents, how many belong to the newest stage
MEMORY = 0.97  # per measurement, how much of the running accuracy is kept


@dataclass
class Curriculum:
    """The state of the curriculum: the open stage, running accuracies, when stages opened, and if instructions ask for reasons."""

    stage: int = 0
    progress: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    opened: list[float] = field(default_factory=lambda: [0.0])
    reasons: bool = False

    def skills(self, stage: int) -> dict[str, float]:
        """The kinds of documents that a stage brings, with their weights."""
        return {kind: weight for kind, weight in STAGES[stage].items() if self.reasons or kind != "reasons"}

    def observe(self, kind: str, share: float) -> None:
        """Note the share of right answers on some training documents of one kind."""
        self.accuracy[kind] = MEMORY * self.accuracy.get(kind, 0.0) + (1 - MEMORY) * share

    def competence(self) -> float:
        """The mean running accuracy of the open stage's skills, weighted as they are shown."""
        skills = self.skills(self.stage)
        return sum(w * self.accuracy.get(k, 0.0) for k, w in skills.items()) / sum(skills.values())

    def advance(self, progress: float) -> None:
        """Open the next stage if this one is learned or its time is up."""
        self.progress = progress
        if self.stage + 1 < len(STAGES) and (self.competence() > MARKS[self.stage] or progress > LATEST[self.stage]):
            self.stage += 1
            self.opened.append(round(progress, 4))

    def weights(self) -> dict[str, float]:
        """How often each kind of document is shown now."""
        out = {}
        share = NEW_SHARE[self.stage]
        for at in range(self.stage + 1):
            need = {k: w * (1.15 - self.accuracy.get(k, 0.0)) for k, w in self.skills(at).items()}
            part = share if at == self.stage else (1 - share) / self.stage
            out.update({k: part * v / sum(need.values()) for k, v in need.items()})
        if self.stage:
            out.update({"vocabulary": 0.015, "spelled": 0.006, "pronouns": 0.008})
        return out

    def longest_copy(self) -> int:
        """The longest list to copy: it grows as copying is learned."""
        return min(8, 3 + int(8 * max(0.0, self.accuracy.get("copy_list", 0.0) - 0.2)))

    def most_facts(self) -> int:
        """The most facts of a passage to verify: it grows as verification is learned."""
        return min(3, 1 + int(max(0.0, self.accuracy.get("verification", 0.0) - 0.55) * 10) if self.stage < 3 else 3)
