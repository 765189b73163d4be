"""What `verify` lets a model write on: one short prompt, and one long enough that attention goes
over several hundred tokens, where some kernels take another path."""

from __future__ import annotations

from gemma_mtp.bench.runs import Text

_LOG = """Monday. Wind from the west, rain until noon. The lamp was cleaned and the clock was set
by the radio. Two fishing boats went out before light and came home with little.
Tuesday. Calm. The boat with the post brought flour, paraffin, a letter for the cook and a parcel
that nobody had asked for. In it were forty small mirrors and no word of who had sent them.
Wednesday. Fog all day. The horn was sounded every two minutes from six in the morning. A ship
answered once, far away in the south, and was not heard again.
Thursday. The fog went at ten. On the rocks below the stairs lay a red door with a brass handle,
quite whole, and beside it a chair. They were carried up and stand in the kitchen now.
Friday. Clear and cold. The keeper put the mirrors along the wall of the lamp room, and at night
the light was seen from the hills, as the baker told us later by telephone.
Saturday. A woman came on foot at low tide and asked for her door. She would not sit down and she
would not say where the house was. She took the handle with her and left the rest.
"""

TEXTS = (
    Text("story", "Tell me a very long story about a fox."),
    Text("log", f"This is the log of a lighthouse.\n\n{_LOG}\nGo on with the next three weeks."),
)
LONG = "\n".join([_LOG] * 4)  # never answered
