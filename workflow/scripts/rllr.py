"""PPO of one run against reward models, by rl4nlu.methods.rllr.rllr (rules train_rlhf, train_rllr and train_rllr_mixed)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("rllr"))
