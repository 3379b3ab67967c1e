"""Generated files stand in the repository as the classes say."""

from rl4nlu.runs.documentation import generated_files


def test_generated_files_are_up_to_date(root):
    for name, text in generated_files().items():
        assert (root / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run `python -m rl4nlu docs`"


def test_every_key_of_the_config_is_described():
    reference = generated_files()["config/README.md"]
    for key in ("kl_coefficient", "data_root", "sst2_negative", "trained_with", "revision"):
        assert f"`{key}`" in reference
