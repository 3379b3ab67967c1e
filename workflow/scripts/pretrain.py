"""Pretrain one micro model from the microworld's text (rule pretrain)."""

from rl4nlu.jobs.programs import header, main_of


def main() -> None:
    from rl4nlu.microworld import pretrain

    header("pretraining of a micro model")
    pretrain.main()


if __name__ == "__main__":
    main_of(main)
