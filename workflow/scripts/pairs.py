"""Pairs of responses of one run (rule make_pairs)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import pairs

    training_program("pairs", pairs.train)


if __name__ == "__main__":
    main_of(main)
