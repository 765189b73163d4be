"""How llama.cpp has to be built so that it can use the graphics cards of this machine.

Needs the standard library alone, since the set-up scripts ask it before anything is installed.
"""
