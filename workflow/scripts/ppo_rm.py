"""PPO of one run against the reward encoder, or with the label's reward (rules train_ppo_rm and train_ppo_rationale)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("ppo_rm"))
