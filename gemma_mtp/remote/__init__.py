"""Replies that a server elsewhere writes: any that speaks OpenAI's dialect."""
