"""Supervised fine-tuning of one run (rule sft)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import sft

    training_program("sft", sft.train)


if __name__ == "__main__":
    main_of(main)
