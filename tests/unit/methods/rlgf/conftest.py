"""The smallest run there is, for methods with a guide."""

from pathlib import Path

import pytest
from roll_outs import tokenizer, write_place
from tokenizers import decoders


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and prepared rows of one task; its tokenizer writes back what it has read."""
    folder = write_place(tmp_path_factory.mktemp("run"))
    exact = tokenizer()
    exact.backend_tokenizer.decoder = decoders.Fuse()
    exact.save_pretrained(folder / "model")
    return folder
