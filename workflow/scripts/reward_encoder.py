"""Ranked responses and training of one reward encoder, by rl4nlu.methods.ppo_rm.reward_encoder (rule train_reward_encoder)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("reward_encoder"))
