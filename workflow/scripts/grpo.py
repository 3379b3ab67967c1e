"""Group-relative policy optimisation of one run (rule grpo)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import grpo

    training_program("grpo", grpo.train)


if __name__ == "__main__":
    main_of(main)
