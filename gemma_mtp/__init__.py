"""gemma-mtp: chat with Gemma 4 on one's own machine, with MTP speculative decoding one can see."""

__version__ = "0.1.0"
