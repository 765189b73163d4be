"""What is typed while a reply is written is collected to the last key before the end."""

from __future__ import annotations

import os

import pytest

from gemma_mtp.terminal.keyboard import Keyboard
from gemma_mtp.terminal.type_ahead import TypeAhead

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is another keyboard")


def test_keys_that_are_there_when_it_ends_are_not_left_to_what_comes_next() -> None:
    keyboard, keys = os.pipe()
    stopped, stop = os.pipe()
    ahead = TypeAhead(Keyboard(keyboard, "utf-8"), lambda line: True)
    os.write(keys, b"def")
    os.close(stop)  # both at once, as with Ctrl-C right behind a key
    ahead._collect(stopped)
    assert ahead.take() == "def"
    os.close(keys)
    os.close(keyboard)
