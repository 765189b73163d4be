"""The chat: its conversations, its keyboard, its verbs."""
