"""Policy optimisation with a guide of one run, by rl4nlu.methods.rlgf.rlgf (rules train_ppo_pp, train_aggrevated,
train_lols and train_d2lols)."""

from rl4nlu.jobs.programs import main_of, training_program


def main() -> None:
    training_program("rlgf")


if __name__ == "__main__":
    main_of(main)
