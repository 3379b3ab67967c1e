"""All tables together: order, columns, what every one of them says, and what they are without runs."""

from dataclasses import replace

import pandas as pd
import pytest
from synthetic import cells_of, inputs

from rl4nlu.report.tables import TABLES, build_sheets
from rl4nlu.report.typeset import Sheet, to_tex


def test_all_tables_are_built_in_order(sheets: dict[str, Sheet], printed_only: dict[str, Sheet]) -> None:
    assert [sheet.name for sheet in sheets.values()] == [sheet.name for sheet in printed_only.values()] == list(TABLES)


@pytest.mark.parametrize("reproduced", [True, False])
def test_every_row_has_every_column(reproduced: bool) -> None:
    for sheet in build_sheets(inputs(reproduced)).values():
        for line in sheet.filled:
            assert len(line.heads) == len(sheet.heads), sheet.name
            assert len(line.cells) == len(sheet.columns), (sheet.name, line.heads)


def test_every_table_says_what_its_numbers_are(sheets: dict[str, Sheet]) -> None:
    for name, sheet in sheets.items():
        if not name.startswith("published") and name != "averages":
            assert (
                "Scale “embedded”; reproduced rows are scored on generated microworld test rows. Made-up numbers."
                in sheet.notes[0]
            ), name


def test_printed_numbers_alone(printed_only: dict[str, Sheet]) -> None:
    assert {line.kind for line in printed_only["glue"].filled} == {"paper"}
    assert len(printed_only["glue"].filled) == 8 + 2
    assert cells_of(printed_only["published-other"], "11", "SQuAD, F1")["PPO"].text == "81.82"
    assert cells_of(printed_only["published-transfer"], "Emotion")["GPT-4o"].below == "[77.0, 78.2]"
    assert cells_of(printed_only["published-other"], "11", "SQuAD, F1")["Not tuned"].text == "32.27"
    assert printed_only["budgets"].filled == []
    assert "No such rows in this build." in to_tex(printed_only["budgets"])
    assert to_tex(printed_only["variants"]).startswith("% variants: nothing to show")


def test_a_method_that_the_papers_do_not_print_has_its_rows(sheets: dict[str, Sheet]) -> None:
    """GRPO is named by no module of the report: its entry in the table of methods is enough."""
    found = inputs(True)

    def doubled(frame: pd.DataFrame) -> pd.DataFrame:
        like = frame[(frame["method"] == "ppo") & (frame["mixture_kind"] == "st") & (frame["mixture"] != "rte")]
        return pd.concat([frame, like.assign(method="grpo")], ignore_index=True)

    more = replace(found, **{name: doubled(getattr(found, name)) for name in ("metrics", "means", "runs", "invalid")})
    made = build_sheets(more)
    own, ppo = (cells_of(made["glue"], f"{name}-ST", "ours") for name in ("GRPO", "PPO"))
    assert own["CoLA"] == ppo["CoLA"]
    assert own["RTE"].text == own["Common"].text == ""
    assert ppo["Common"] == cells_of(sheets["glue"], "PPO-ST", "ours")["Common"]
    assert cells_of(made["cost"], "GRPO-ST", "ours")["s / 16 prompts"].text == "0.215"
    assert int(cells_of(made["budgets"], "micro-llama", "GRPO-ST")["Runs"].text) > 10
    assert cells_of(made["invalid"], "micro-llama", "GRPO-ST")
    assert ("GRPO-ST ours", "mean ± sd") in made["validation"].columns
    assert ("GRPO-ST ours", "mean ± sd") not in sheets["validation"].columns
