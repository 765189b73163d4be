"""Prints some chats of the corpus and its sizes.

cd scripts/tiny && python -m corpus [COUNT [SEED]]
"""

import sys
from collections import Counter

from corpus import conversations, render

count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
chats = conversations(seed, count)
for chat in chats[:20]:
    print(render(chat))
turns = Counter(sum(turn.role == "model" for turn in chat.turns) for chat in chats)
size = sum(len(render(chat)) for chat in chats)
print(f"{count} chats, {size} characters, turns {dict(sorted(turns.items()))}")
