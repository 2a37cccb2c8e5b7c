"""Mistakes in gradient checks: in two that a beginner would write, right as they stand here, and in gradcheck's own."""

from __future__ import annotations

import numpy as np

from minitrain.ops import Array


def check_cubes() -> tuple[Array, Array]:
    """The analytic and the numeric gradient of f(x) = Σ x³."""
    x = np.random.default_rng(0).uniform(0.5, 2, (4, 3))
    eps = 1e-6
    numeric = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += eps
        down[index] -= eps
        numeric[index] = ((up**3).sum() - (down**3).sum()) / (2 * eps)
    return 3 * x**2, numeric


def check_ramps() -> tuple[Array, Array]:
    """The analytic and the numeric gradient of f(x) = Σ max(x, 0)."""
    x = np.random.default_rng(0).uniform(-2, 2, (4, 3))
    eps = 1e-6
    numeric = (np.maximum(x + eps, 0) - np.maximum(x - eps, 0)) / (2 * eps)
    return (x > 0).astype(x.dtype), numeric


MISTAKES = """
mistakes.checks.check_cubes

numeric-in-float32: rounding
  numeric = (f(x + eps) - f(x - eps)) / 2 eps, in float32.
  f(x) = Σ x³. The analytic gradient, 3x², is right. But float32 has seven digits, and the difference of two nearly
  equal sums keeps one of them or none. Check in float64, even if the model trains in float32.
- (4, 3))  =>  (4, 3)).astype(np.float32)
- 1e-6  =>  1e-5
numeric-with-a-tiny-eps: rounding
  numeric = (f(x + eps) - f(x - eps)) / 2 eps, with eps = 1e-12.
  f(x) = Σ x³. A smaller eps is not always better. The difference of two sums near 30 is exact to about 1e-15; divided
  by 2e-12, that is an error of a thousandth or more. The best eps in float64 is about 1e-5 to 1e-6.
- 1e-6  =>  1e-12

mistakes.checks.check_ramps

numeric-across-kinks: kinks
  numeric = (f(x + eps) - f(x - eps)) / 2 eps, where the kink of f lies between the two.
  f(x) = Σ max(x, 0), and some x are exactly 0, as pixels often are. There the slope is 0 on one side and 1 on the
  other, so the difference gives 1/2. The analytic gradient, 0, is torch's. Only the point is wrong.
- eps = 1e-6
+ x[0, 1] = x[2, 0] = x[3, 2] = 0
+ eps = 1e-6

diagnosis.finite_differences._Measured.around

around-moves-one-way: values
  both values at before + step.
  The difference between two equal values is 0, and so is every derivative that is measured with it.
- before - step  =>  before + step
around-does-not-restore: values
  flat[j] stays where it was moved to.
  Each further derivative is then measured at another point, a little farther away each time.
- finally:
-     flat[j] = before
+ finally:
+     pass
around-distance-doubled: values
  the distance is 2 · (before + step).
  The distance lies between the two moved numbers. This is a multiple of one of them.
- high - low  =>  2 * high

diagnosis.finite_differences._Measured.jacobian

jacobian-one-sided-distance: values
  dy/dx = (up - down) / (distance / 2).
  up and down are one whole distance apart, from -step to +step. Divided by half of it, each derivative is doubled.
- /= distance  =>  /= distance / 2
jacobian-sign: values
  dy/dx = (down - up) / distance.
  A derivative is positive where y grows with x. The difference is reversed, and with it every sign.
- np.subtract(up, down  =>  np.subtract(down, up
"""
