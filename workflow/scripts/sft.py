"""Supervised fine-tuning of one run, by rl4nlu.methods.sft (rules train_sft and train_sft_rationale)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("sft")


if __name__ == "__main__":
    main_of(main)
