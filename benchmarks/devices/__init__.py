"""Devices made of software: workers of llama.cpp's RPC backend, and who registers them."""
