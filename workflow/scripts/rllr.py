"""PPO of one run against reward models (rules train_rlhf, train_rllr and train_rllr_mixed)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import rllr

    training_program("rllr", rllr.train)


if __name__ == "__main__":
    main_of(main)
