"""Answers of one trained run to the rows of its tasks, by rl4nlu.answering.answer (rule answer_run)."""

from rl4nlu.jobs.programs import answering_program, main_of

if __name__ == "__main__":
    main_of(answering_program)
