"""Merging of one SFT-with-rationale adapter into its backbone (rule merge_backbone)."""

from rl4nlu.jobs import main_of, training_program


def main() -> None:
    from rl4nlu import merging

    training_program("merging", merging.train)


if __name__ == "__main__":
    main_of(main)
