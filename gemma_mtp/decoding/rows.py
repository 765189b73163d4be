"""Arrays that all of decoding speaks of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
"""[vocabulary] logits of one output, or [width] of a hidden state; several have one axis more."""

Ids = NDArray[np.int64]
"""Token ids."""
