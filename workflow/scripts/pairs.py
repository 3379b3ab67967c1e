"""Pairs of responses of one run, by rl4nlu.methods.rllr.pairs (rule train_pairs)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("pairs"))
