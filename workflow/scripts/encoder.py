"""Fine-tuning of an encoder on one task, by rl4nlu.methods.encoder (rule train_encoder)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("encoder")


if __name__ == "__main__":
    main_of(main)
