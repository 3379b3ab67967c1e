"""Fine-tuning of an encoder on one task (rule encoder)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import encoder

    training_program("encoder", encoder.train)


if __name__ == "__main__":
    main_of(main)
