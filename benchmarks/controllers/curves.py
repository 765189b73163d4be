"""Costs of a round in plain steps: measured ones, and shapes that other machines have.

The measured ones: Gemma 4 E2B shape, two CPU cores, one draft step with a Q8_0 drafter 0.12.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """`verify[w - 1]` is the cost of verifying w rows, `rebuild` that of changing the width,
    `deciding` what a round takes longer in which the controller and lookup are asked."""

    name: str
    verify: tuple[float, ...]
    draft_step: float = 0.12
    rebuild: float = 0.03
    deciding: float = 0.0

    def cost(self, width: int) -> float:
        return self.verify[width - 1]


def _line(slope: float) -> tuple[float, ...]:
    return tuple(1 + slope * i for i in range(8))


CURVES = (
    Curve("CPU Q4_0", (1.00, 2.05, 2.86, 1.86, 2.72, 3.70, 4.00, 3.01)),
    Curve("CPU Q8_0", (1.00, 2.64, 2.99, 3.09, 5.05, 5.54, 6.20, 3.81)),
    Curve("CPU Q4_K_M", (1.00, 1.89, 2.54, 3.04, 4.15, 4.83, 5.13, 3.81)),
    Curve("CPU IQ4_NL", (1.00, 1.85, 2.55, 2.31, 3.43, 3.64, 4.17, 3.20)),
    Curve("CPU Q4_1", (1.00, 2.03, 2.68, 3.23, 4.07, 4.68, 6.42, 6.36)),
    Curve("GPU dense", _line(0.02), 0.08, 0.01),
    Curve("GPU experts", _line(0.12), 0.08, 0.01),
    Curve("GPU cliff", (1.0, 1.05, 1.1, 1.15, 1.9, 1.95, 2.0, 2.05), 0.08, 0.01),
)

# Cards that take some 4 milliseconds for a plain step, and a quarter to three quarters of that more
# where a graph has to be built first.
KINDS = (("dense", 0.02, 0.08), ("experts", 0.12, 0.08), ("steep", 0.25, 0.12))
FAST = tuple(
    Curve(f"{name}, {rebuild}", _line(slope), draft_step, rebuild)
    for rebuild in (0.25, 0.5, 0.75)
    for name, slope, draft_step in KINDS
)

# Where drafting does not pay, at the rates at which drafts are accepted in `LOSING_TEXTS`.
BUILT_IN = Curve(
    "built-in", (1.00, 1.65, 2.29, 3.05, 3.73, 4.70, 5.24, 5.42), 0.33, 0.6, deciding=0.12
)
LOSING = (
    BUILT_IN,
    Curve("each row a step, 0.2", _line(1.0), 0.2),
    Curve("each row a step, 0.5", _line(1.0), 0.5),
    Curve("each row a step, 0.8", _line(1.0), 0.8),
    Curve("CPU Q4_1", CURVES[4].verify),
)
