"""Training of one reward model (rules train_reward_label and train_reward_rationale)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import reward_model

    training_program("reward_model", reward_model.train)


if __name__ == "__main__":
    main_of(main)
