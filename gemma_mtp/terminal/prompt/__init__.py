"""The line in which a message is typed: keys, lists, history, pastes."""
