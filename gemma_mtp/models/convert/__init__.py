"""Files of weights made into others: safetensors into GGUF, and GGUF into smaller types."""
