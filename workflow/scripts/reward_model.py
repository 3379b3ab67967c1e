"""Training of one reward model, by rl4nlu.methods.rllr.reward_model (rules train_reward_label and train_reward_rationale)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("reward_model"))
