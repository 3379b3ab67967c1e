"""Names of models and methods, and the rows in which methods stand."""

from rl4nlu.report.names import family


def test_a_model_stands_for_one_of_the_papers() -> None:
    assert [family(m) for m in ("micro-qwen2", "qwen2.5-7b-instruct", "bert-large", "mine")] == [
        "qwen",
        "qwen",
        "bert-large",
        "mine",
    ]
