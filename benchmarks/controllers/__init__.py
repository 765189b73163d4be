"""Draft-length controllers compared by replaying traces: no engine, no clock."""
