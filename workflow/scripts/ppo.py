"""Proximal policy optimisation of one run (rule ppo)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import ppo

    training_program("ppo", ppo.train)


if __name__ == "__main__":
    main_of(main)
