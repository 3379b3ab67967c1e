"""Proximal policy optimisation of one run, by rl4nlu.methods.rl.ppo (rule train_ppo)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("ppo")


if __name__ == "__main__":
    main_of(main)
