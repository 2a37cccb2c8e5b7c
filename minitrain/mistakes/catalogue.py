"""The one catalogue of mistakes that people make in backward passes, optimizers, gradient checks and training loops.

Everything that needs a mistake selects it here by name: the zoo's table, the faults that compare and gradcheck plant,
the exercises' wrong solutions and the bugs that learners hunt.
"""

from __future__ import annotations

from minitrain.mistakes import (
    arithmetic,
    by_hand,
    checks,
    further,
    layers,
    optimizers,
    reading,
    regularization,
    shapes,
    tape,
    training,
)
from minitrain.mistakes.specimen import VALUES, Specimen, specimens

CATALOGUE: dict[str, Specimen] = {
    specimen.name: specimen
    for module in (
        arithmetic,
        shapes,
        layers,
        further,
        tape,
        optimizers,
        checks,
        training,
        regularization,
        by_hand,
        reading,
    )
    for specimen in specimens(module.MISTAKES)
}

# The zoo: the mistakes that a check of a gradient, an optimizer or a loop can name.
SPECIMENS: dict[str, Specimen] = {name: each for name, each in CATALOGUE.items() if each.mistake != VALUES}
