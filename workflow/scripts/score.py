"""Scores of one run's answers, by rl4nlu.scores.evaluate (rule score_run)."""

from rl4nlu.jobs.programs import main_of, scoring_program

if __name__ == "__main__":
    main_of(scoring_program)
