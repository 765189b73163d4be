"""What is typed at the prompt: messages, answers, and the signs in front of them."""

PROMPT, CONTINUED = ">>> ", "... "
"""Before a message, and before each of its lines but the first."""
