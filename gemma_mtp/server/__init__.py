"""The resident engine for programs that speak OpenAI's, Ollama's or Anthropic's HTTP dialect."""
