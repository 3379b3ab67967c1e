"""Fine-tune one micro judge from the microworld's text (rule pretrain_judge)."""

from rl4nlu.jobs.programs import header, main_of


def main() -> None:
    from rl4nlu.microworld import judges

    header("fine-tuning of a micro judge")
    judges.main()


if __name__ == "__main__":
    main_of(main)
