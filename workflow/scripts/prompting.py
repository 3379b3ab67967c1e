"""One baseline that trains nothing: majority, random, zero-shot or few-shot (rule prompt)."""

from rl4nlu.jobs.programs import main_of, prompting_program

if __name__ == "__main__":
    main_of(prompting_program)
