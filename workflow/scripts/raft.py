"""Reward-ranked fine-tuning of one run, by rl4nlu.methods.rl.raft (rule train_raft)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("raft")


if __name__ == "__main__":
    main_of(main)
