"""The one catalogue of mistakes that people make in backward passes, optimizers, gradient checks and training loops.

Everything that needs a mistake selects it here by name: the zoo's table, the faults that compare and gradcheck plant,
the exercises' wrong solutions and the bugs that learners hunt.
"""

from __future__ import annotations

from minitrain.mistakes import checks, gradients, optimizers, values
from minitrain.mistakes.specimen import VALUES, Specimen, specimens

_TEXTS = (
    *(gradients.ARITHMETIC, gradients.REDUCTIONS_AND_SHAPES, gradients.MATRICES, gradients.LOSSES, gradients.TAPE),
    *(optimizers.SHARED, optimizers.SGD, optimizers.RMSPROP, optimizers.ADAM),
    checks.CHECKS,
    *(values.FORWARD_PASSES, values.GRADIENTS, values.TRAINING),
)

CATALOGUE: dict[str, Specimen] = {specimen.name: specimen for text in _TEXTS for specimen in specimens(text)}

# The zoo: the mistakes that a check of a gradient or an optimizer can name.
SPECIMENS: dict[str, Specimen] = {name: each for name, each in CATALOGUE.items() if each.mistake != VALUES}
