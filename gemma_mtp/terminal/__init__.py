"""Everything that is drawn on a terminal or typed at it."""
