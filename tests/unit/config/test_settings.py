"""Values that the shared sections refuse."""

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Model, check


def test_encoders_are_float32():
    entry = {"kind": "encoder", "path": "somebody/encoder"}
    assert check(Model, entry | {"dtype": "float32"}, "models.yaml: mine") == check(Model, entry, "models.yaml: mine")
    with pytest.raises(
        ConfigError, match=r"models\.yaml: mine: .*dtype bfloat16: encoders .* float32; leave dtype out"
    ):
        check(Model, entry | {"dtype": "bfloat16"}, "models.yaml: mine")
