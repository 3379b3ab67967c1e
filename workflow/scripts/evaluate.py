"""Scores of one trained run on its tasks (rule evaluate_run)."""

from rl4nlu.jobs.programs import evaluation_program, main_of

if __name__ == "__main__":
    main_of(evaluation_program)
