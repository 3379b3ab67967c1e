"""A question about a row of SST-2, and answers to it: what tests of pairs and of their judge share."""

from rl4nlu.methods.rllr.judge import Question
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
SST2 = TASKS["sst2"]


def answer(rationale, word):
    return f"{rationale} <Judgement> {word} </Judgement>"


def question(row="r", label="1", reasons=None):
    reasons = reasons or {"1": f"it is good in {row}", "0": f"it is bad in {row}"}
    gold = answer(reasons[label], SST2.labels[label])
    wrong = [answer(text, SST2.labels[key]) for key, text in reasons.items() if key != label]
    return Question(SST2, Row(row, {"sentence": "x"}, label), "prompt", reasons, gold, wrong)
