"""The exercises of the track "The tape": how backward finds its way."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

exercise = functools.partial(Exercise, track="The tape")

EXERCISES = (
    exercise(
        name="receive-grad",
        title="Why gradients are added, not set",
        target="tensor.Tensor.receive_grad",
        given=(),
        level=1,
        minutes=10,
        why="A second backward adds to the gradient of the first. That lets you split a large batch into small ones, "
        "and it is the reason for zero_grad.",
        task="self._grad is a Tensor, or None before the first gradient. Keep an array of your own: if grad is not "
        "owned, other code may use it, so copy it. Always copying is fine. (The library also keeps the memory order of "
        "self.array, and counts the change with increment_version. The check does not require that.)",
        notice="Two backward passes without zero_grad gave the sum of both gradients: .grad collects until someone "
        "clears it.",
        hints=(
            "There are two cases: self._grad already holds a gradient, or it is still None.",
            "If there is one, add to its array: self._grad.array += grad.",
            "If it is None, keep a copy: self._grad = wrap(grad.copy()).",
        ),
        probes=(*cases.GRAPHS, cases.OWN_GRADIENTS),
        program=programs.residual,
        faults=("receive-grad-overwrites", "receive-grad-keeps-what-others-own"),
    ),
    exercise(
        name="used-twice",
        title="A value that is used twice",
        target="tape.walk_back",
        gap=("if edge in pending", "if edge in pending"),
        level=2,
        minutes=10,
        builds_on=("receive-grad",),
        why="In x · x, and in every residual network, one value receives two gradients. Forgetting one of them is the "
        "most common mistake of all.",
        task="pending holds, for each edge, the gradient that has arrived there so far. If there is one, add "
        "input_grad to it and continue with the next input. Do not write into the array that is there: it may be "
        "shared or read-only. (You may leave owned as it is.)",
        notice="x · x got the gradient 2 x · dL/dy: two edges lead to x, and each one brought x · dL/dy.",
        hints=(
            "The lines after yours set pending[edge] for the first gradient, and queue the edge. That must not "
            "happen a second time, so end with continue.",
            "pending[edge] += input_grad would write into an array that Add may have sent to both of its operands.",
            "if edge in pending: pending[edge] = pending[edge] + input_grad; owned[edge] = True; continue",
        ),
        probes=cases.GRAPHS,
        program=programs.residual,
        faults=("walk-back-overwrites", "walk-back-adds-in-place"),
    ),
    exercise(
        name="walk-back",
        title="The walk back: newest operation first",
        target="tape.walk_back",
        level=3,
        minutes=30,
        builds_on=("used-twice",),
        why="This is backward(): thirty lines that every training run needs. The order makes it correct. A node may "
        "pass its gradient on only after every operation that used its result has sent a gradient.",
        task="root is a Node, or a leaf's AccumulateGrad. node.input_gradients(grad) returns the gradients of a Node's "
        "inputs, in order. node.next_functions holds a pair for each input; its first element says where the gradient "
        "goes: to a Node, an AccumulateGrad, or nowhere (None). node.sequence_nr grows with every operation. At the "
        "end each leaf receives its sum: leaf.variable.receive_grad(grad, owned=False). Unless retain_graph is True, "
        "call node.free() after using a Node. (The check does not require anomaly detection or retain_grad.) A graph "
        "may be thousands of operations deep.",
        notice="After 40 doublings there are 2^40 paths through the graph, but your walk made only 40 visits. That is "
        "backpropagation.",
        hints=(
            "Keep a dictionary of the gradients that have arrived, {root: grad} at first, and a collection of the "
            "waiting Nodes.",
            "Take the waiting Node with the largest sequence_nr. Every operation that uses its result is newer, so it "
            "has been visited. A heap of (-sequence_nr, node) finds it; so does max().",
            "Take its gradient out of the dictionary and compute the inputs' gradients. Add each to the one that is "
            "there for its edge (pending[edge] + g, a new array), or set it. A Node that is new there starts to wait.",
            "When no Node is waiting, only leaves are left in the dictionary: call receive_grad for each.",
        ),
        probes=(*cases.GRAPHS, cases.DEEP, cases.VISITS, cases.DOUBLED, cases.FREED, cases.HALF_WAY),
        program=programs.residual,
        faults=("walk-back-takes-any-order", "walk-back-overwrites", "walk-back-follows-one-path"),
    ),
    exercise(
        name="zero-grad",
        title="Why zero_grad, and what None is for",
        target="optim.Optimizer.zero_grad",
        given=(),
        level=1,
        minutes=5,
        builds_on=("receive-grad",),
        why="backward adds to .grad. Unless you clear it, the next step uses the sum of all gradients so far.",
        task="Go through all groups (self.param_groups) and their parameters (group['params']). By default, set .grad "
        "to None. With set_to_none=False, keep the gradient and fill it with 0 in place. A .grad that is None stays "
        "None.",
        notice="A .grad that was None stays None, and with set_to_none=False the same Tensor is filled with zeros.",
        hints=(
            "Two loops: for group in self.param_groups, for param in group['params'].",
            "`grad = param.grad` followed by `grad = None` only changes a name in your function.",
            "param.grad = None; or param.grad.zero_(), if there is a gradient.",
        ),
        probes=(cases.ZERO_GRAD,),
        program=functools.partial(programs.classify, lr=0.2),
        faults=("zero-grad-does-nothing", "zero-grad-zeroes-a-copy", "zero-grad-always-sets-none"),
    ),
)
