"""A run's address: read back as written, and another form is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl4nlu.base.errors import ConfigError
from rl4nlu.runs.spec import Address

words = st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True)


@given(words, words, words, words, st.integers(0, 99))
def test_an_address_is_read_back_as_written(model, method, mixture, variant, seed):
    address = Address(model, method, mixture, variant, seed)
    assert Address.parse(address.path) == address


@pytest.mark.parametrize("path", ["a/b/c/seed0", "a/b/c/d/0x", "a/b/c/d/e/seed0", ""])
def test_another_form_is_no_address(path):
    with pytest.raises(ConfigError, match="seed<k>"):
        Address.parse(path)
