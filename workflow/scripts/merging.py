"""Merging of one SFT-with-rationale adapter into its backbone, by rl4nlu.methods.merge (rule train_merged_backbone)."""

from rl4nlu.jobs.programs import main_of, training_program

if __name__ == "__main__":
    main_of(lambda: training_program("merging"))
