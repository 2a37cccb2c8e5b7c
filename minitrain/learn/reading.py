"""Small programs to read: for each, what backward does with it, as a learner should predict it.

Each class has a program, which runs with minitrain or torch, and the right prediction as plain lists and dicts. The
exercises of the track "Reading" take the prediction out; the check runs the program and compares.
"""

from __future__ import annotations

from typing import Any

Named = dict[str, Any]


class GradientShapes:
    """A layer whose result is scaled, by a row and by a number."""

    @staticmethod
    def program(torch: Any) -> Named:
        """Run backward from a loss; returns the Tensors by name. torch: minitrain, or torch itself."""
        x = torch.tensor([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]])
        W = torch.ones(3, 4, requires_grad=True)
        b = torch.ones(4, requires_grad=True)
        row = torch.ones(1, 4, requires_grad=True)
        scale = torch.tensor(2.0, requires_grad=True)
        y = (x @ W + b) * row * scale
        loss = y.mean()
        loss.backward()
        return {"x": x, "W": W, "b": b, "row": row, "scale": scale, "loss": loss}

    @staticmethod
    def prediction() -> dict[str, list[int] | None]:
        """The shape of the .grad of x, W, b, row and scale, each as a list of sizes; None for a .grad that is None."""
        return {"x": None, "W": [3, 4], "b": [4], "row": [1, 4], "scale": []}


class NoneOrZero:
    """Seven Tensors, not all of which the loss can reach."""

    @staticmethod
    def program(torch: Any) -> Named:
        """Run backward from a loss; returns the Tensors by name. torch: minitrain, or torch itself."""
        data = torch.tensor([1.0, 2.0, 3.0])
        w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        negative = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
        cut = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
        times_zero = torch.tensor([4.0, 5.0, 6.0], requires_grad=True)
        unused = torch.tensor([7.0, 8.0, 9.0], requires_grad=True)
        h = data * w
        score = unused * 2.0  # printed by the program, but not part of the loss
        loss = (h + negative.relu() + cut.detach() * 3.0 + times_zero * 0.0).sum()
        loss.backward()
        tensors = {"data": data, "w": w, "negative": negative, "cut": cut, "times_zero": times_zero}
        return tensors | {"unused": unused, "h": h, "score": score, "loss": loss}

    @staticmethod
    def prediction() -> dict[str, str]:
        """What .grad is after backward: "none" for None, "zero" if all its numbers are 0, "numbers" otherwise.

        For data, w, negative, cut, times_zero, unused and h.
        """
        return {
            "data": "none",
            "w": "numbers",
            "negative": "zero",
            "cut": "none",
            "times_zero": "zero",
            "unused": "none",
            "h": "none",
        }


class Tape:
    """A value that is used twice, made from data and a parameter."""

    @staticmethod
    def program(torch: Any) -> Named:
        """Compute a loss; returns the Tensors by name. torch: minitrain, or torch itself."""
        x = torch.tensor([1.0, 2.0, 3.0])
        w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        b = torch.tensor(0.1, requires_grad=True)
        h = x * w
        u = (h + b).exp()
        y = u * h
        loss = y.sum()
        return {"x": x, "w": w, "b": b, "h": h, "u": u, "y": y, "loss": loss}

    @staticmethod
    def prediction() -> dict[str, list[str | None]]:
        """For each operation that print_tape(loss) lists, in its order: where it sends its gradients.

        The key is the operation's number and name, "#1 SumBackward0". The value has an entry for each input of the
        operation: "#2" for operation 2, "leaf 1" for a leaf, None for an input that requires no gradient. Leaves are
        numbered in the order in which print_tape meets them.
        """
        return {
            "#1 SumBackward0": ["#2"],
            "#2 MulBackward0": ["#3", "#5"],
            "#3 ExpBackward0": ["#4"],
            "#4 AddBackward0": ["#5", "leaf 1"],
            "#5 MulBackward0": [None, "leaf 2"],
        }


class VisitingOrder:
    """Two values that are used twice, and one that the loss does not use."""

    @staticmethod
    def program(torch: Any) -> Named:
        """Compute a loss; returns the results by name, in another order. torch: minitrain, or torch itself."""
        w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        h = w * 2.0
        u = h.exp()
        v = h + u
        size = v.mean()  # printed by the program, but not part of the loss
        s = u * h
        y = s - v
        loss = y.sum()
        return {"h": h, "loss": loss, "s": s, "size": size, "u": u, "v": v, "y": y}

    @staticmethod
    def prediction() -> list[str]:
        """The names of the results whose operations loss.backward() visits, in the order of the visits."""
        return ["loss", "y", "s", "v", "u", "h"]
