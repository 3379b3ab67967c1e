"""PPO of one run from SFT with rationales: against the reward encoder, by rl4nlu.methods.ppo_rm.ppo_rm (rule train_ppo_rm),
or with the label's reward, by rl4nlu.methods.ppo_rm.ppo_rationale (rule train_ppo_rationale).
"""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("ppo_rm"))
