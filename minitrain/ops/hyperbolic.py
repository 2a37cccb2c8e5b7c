"""Hyperbolic functions and their inverses; tanh, an activation, is in elementwise.py."""

from __future__ import annotations

import numpy as np

from minitrain.ops.function import Function
from minitrain.ops.unary import of_input


class Sinh(Function):
    """y = sinh x;  dL/dx = dL/dy · cosh x."""

    forward, backward = of_input(np.sinh, lambda grad_y, x: grad_y * np.cosh(x))


class Cosh(Function):
    """y = cosh x;  dL/dx = dL/dy · sinh x."""

    forward, backward = of_input(np.cosh, lambda grad_y, x: grad_y * np.sinh(x))


class Asinh(Function):
    """y = arsinh x;  dL/dx = dL/dy / √(x² + 1)."""

    forward, backward = of_input(np.arcsinh, lambda grad_y, x: grad_y * (1 / np.sqrt(x * x + 1)))


class Acosh(Function):
    """y = arcosh x;  dL/dx = dL/dy / √(x² - 1)."""

    forward, backward = of_input(np.arccosh, lambda grad_y, x: grad_y * (1 / np.sqrt(x * x - 1)))


class Atanh(Function):
    """y = artanh x;  dL/dx = dL/dy / (1 - x²)."""

    forward, backward = of_input(np.arctanh, lambda grad_y, x: grad_y / (1 - x * x))
