"""JSON Schema in what llguidance enforces: `rewriting.rewritten` is the way in."""
