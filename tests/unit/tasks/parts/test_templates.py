"""Templates: what stands between braces is a field's name alone."""

import pytest

from rl4nlu.tasks.parts.templates import placeholders


def test_placeholders_are_names_alone() -> None:
    assert placeholders("{a} and {b}, {{not this}}") == ["a", "b"]
    for template in ("{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a", "a}"):
        with pytest.raises(ValueError):
            placeholders(template)
