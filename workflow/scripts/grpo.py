"""Group-relative policy optimisation of one run, by rl4nlu.methods.rl.grpo (rule train_grpo)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("grpo")


if __name__ == "__main__":
    main_of(main)
