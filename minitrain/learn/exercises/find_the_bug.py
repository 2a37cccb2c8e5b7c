"""The exercises of the track "Find the bug": each file contains one mistake of the catalogue."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

TASK = (
    "This piece is complete, but one thing in it is wrong. The formula in its docstring is right. Run the file to see "
    "what happens, find out why, and repair it."
)

EQUAL_STEPS = """
# Every step should have the size 0.1, because the gradient is always the same.
import minitrain as torch

x = torch.zeros(1, requires_grad=True)
optimizer = Adam([x], lr=0.1)
for step in range(5):
    before = x.item()
    (3 * x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: {x.item() - before:.4f}")
"""

hunt = functools.partial(Exercise, track="Find the bug", task=TASK)

EXERCISES = (
    hunt(
        name="hunt-words",
        title="A word that learns only half",
        target="ops.Index.backward",
        bug="index-overwrites",
        level=2,
        minutes=10,
        builds_on=("index-backward",),
        why="Three words are looked up in a table, and two of them are the same. That word should learn twice as much "
        "as the other, but it does not.",
        notice="The row that is read twice now gets the sum of two gradients, as x[[2, 0, 2]] in the check shows.",
        hints=(
            "Try gradcheck(Index, [x], options={'index': ...}) with other indices. Which of them are right?",
            "It is wrong only where an index contains a row twice. What does += do then, with an array of indices?",
            "It reads all the places, adds, and writes all of them back: the second addition to a place overwrites the "
            "first. np.add.at adds one after another.",
        ),
        program=programs.formulas,
        faults=("index-overwrites",),
        script="""
        # Each row's gradient should be how often its word occurs: 2, 1 and 0 times.
        import minitrain as torch
        from minitrain.autograd import gradcheck
        from minitrain.tensor import apply

        table = torch.zeros(3, 2, requires_grad=True)
        words = apply(Index, table, index=np.array([0, 1, 0]))
        words.sum().backward()
        print(table.grad)
        print(gradcheck(Index, [np.arange(6.0).reshape(3, 2)], options={"index": 1}))
        """,
    ),
    hunt(
        name="hunt-rate",
        title="A good learning rate that does not work",
        target="ops.MSELoss.backward",
        bug="mse-mean-over-the-rows",
        level=2,
        minutes=10,
        builds_on=("mse-backward",),
        why="A small regression with a learning rate that is known to work. But the loss grows.",
        notice="Shapes and signs were right all along. Only the factor was wrong, and a wrong factor looks like a "
        "wrong learning rate.",
        hints=(
            "gradcheck(MSELoss, [x, target], options={'reduction': 'mean'}) compares it with a measurement. By which "
            "factor is it wrong?",
            "Try arrays of other shapes. Does the factor depend on the rows, or on the columns?",
            "The mean is over all elements. What does len(difference) count?",
        ),
        program=programs.regress,
        faults=("mse-mean-over-the-rows",),
        script="""
        # With this learning rate, the loss should fall in every step.
        import minitrain as torch
        from minitrain.tensor import apply

        torch.manual_seed(0)
        X, W = torch.randn(20, 4), torch.zeros(4, 5, requires_grad=True)
        target = X @ torch.randn(4, 5)
        for step in range(8):
            loss = apply(MSELoss, X @ W, target, reduction="mean")
            print(f"step {step}: loss {loss.item():.4f}")
            loss.backward()
            with torch.no_grad():
                W -= 1.6 * W.grad
            W.grad = None
        """,
    ),
    hunt(
        name="hunt-classifier",
        title="A classifier that never says no",
        target="ops.LogSoftmax.backward",
        bug="log-softmax-diagonal-only",
        level=2,
        minutes=15,
        builds_on=("log-softmax-backward",),
        why="The scores of all classes grow without limit, and the loss does not improve.",
        notice="With dim 1, each row of dL/dx adds up to 0 again, so the scores can no longer grow all together.",
        hints=(
            "gradcheck(LogSoftmax, [x], options={'dim': 1}) names the likely mistake. Read the whole line.",
            "Each x changes every y of its row, not only its own. Where in the code do the other elements of the row "
            "appear?",
            "The second term of the formula has a Σ. Along which axis, and with keepdims?",
        ),
        faults=("log-softmax-diagonal-only",),
        script="""
        # The loss starts at ln 10 = 2.30 and should fall below 1.
        import minitrain as torch
        from minitrain.data.datasets import Digits
        from minitrain.tensor import apply

        digits = Digits()
        X, y = digits.data[:200].flatten(1).float() / 255, digits.targets[:200]
        W = torch.zeros(64, 10, requires_grad=True)
        for step in range(40):
            scores = X @ W
            loss = -apply(LogSoftmax, scores, dim=1)[torch.arange(200), y].mean()
            if step % 5 == 0:
                print(f"step {step:2d}: loss {loss.item():.4f}, mean score {scores.mean().item():.4f}")
            loss.backward()
            with torch.no_grad():
                W -= 0.5 * W.grad
            W.grad = None
        """,
    ),
    hunt(
        name="hunt-shortcut",
        title="Right in a chain, wrong with a shortcut",
        target="tape.walk_back",
        bug="walk-back-visits-too-early",
        level=3,
        minutes=20,
        builds_on=("walk-back",),
        why="In a network without shortcuts, this walk gives the right gradients. With 2 h + h, something is missing.",
        notice="h · 2 + h now has both its gradients: a node waits until every operation that used it has sent one.",
        hints=(
            "print_tape(loss) shows where each operation sends its gradient. Which operation receives more than one?",
            "A value that is used twice gets two gradients, and its node must wait for both. Follow the order in which "
            "the nodes are visited here.",
            "A newer node has a larger node.sequence_nr. Always visit the newest waiting node: then everything that "
            "uses a result has been visited before it.",
            "node = max(waiting, key=lambda node: node.sequence_nr); waiting.remove(node) is enough; a heap is faster.",
        ),
        probes=(*cases.GRAPHS, cases.DEEP, cases.VISITS),
        program=programs.residual,
        faults=("walk-back-visits-too-early", "walk-back-takes-any-order"),
        script="""
        # d/dx of 2 h + h, with h = exp x, is 3 exp x: 8.1548 at 1.
        import minitrain as torch
        from minitrain import print_tape

        x = torch.tensor(1.0, requires_grad=True)
        h = x.exp()
        loss = h * 2 + h
        print_tape(loss)
        walk_back(loss._edge(), np.ones((), np.float32), retain_graph=False)
        print(x.grad)
        """,
    ),
    hunt(
        name="hunt-bias",
        title="A bias that learns from one sample",
        target="ops.Add.backward",
        bug="add-of-the-first-copy-only",
        level=1,
        minutes=10,
        builds_on=("add-backward",),
        why="There is no error, and all shapes are right, but the model hardly learns its bias.",
        notice="The bias now learns from all samples: its gradient is the sum over the axis that broadcasting added.",
        hints=(
            "gradcheck(Add, [a, b]) passes if both arrays have the same shape. Try other shapes.",
            "b was copied to every row. What is the gradient of a value that was copied?",
            "The gradients of all copies add up, but here only one is used. unbroadcast(grad, shape) adds them up.",
        ),
        program=programs.formulas,
        faults=("add-of-the-first-copy-only", "add-without-unbroadcast"),
        script="""
        # The bias should become the mean of the data, about [1, -2, 3].
        import minitrain as torch
        from minitrain.tensor import apply

        torch.manual_seed(0)
        data = torch.randn(50, 3) + torch.tensor([1.0, -2.0, 3.0])
        bias = torch.zeros(3, requires_grad=True)
        for step in range(30):
            error = apply(Add, -data, bias)
            (error * error).sum().backward()
            with torch.no_grad():
                bias -= 0.01 * bias.grad
            bias.grad = None
        print(bias)
        """,
    ),
    hunt(
        name="hunt-first-step",
        title="An optimizer that starts with a jump",
        target="optim.Adam.update",
        bug="adam-uncorrected",
        given=("__init__",),
        level=2,
        minutes=15,
        builds_on=("adam",),
        why="Adam's first step has the size lr in every coordinate, whatever the gradient is. Here it does not.",
        task=f"{TASK} (amsgrad, maximize and the decoupled decay are right, and the check does not use them.)",
        notice="The first step now has the size lr. Adam's averages start at 0, and the corrections make up for that.",
        hints=(
            "Compute the first step by hand, with g = 1: exp_avg is 1 - beta1, and exp_avg_sq is 1 - beta2. How large "
            "is the step?",
            "check_optimizer(Adam, 'adam') in minitrain.diagnosis.optimcheck compares it with the formula and reports "
            "the difference.",
            "Compare the code with the docstring, line by line. Which two lines of the formula are missing?",
            "bias_correction1 = 1 - beta1 ** step.item(), and the same for beta2.",
        ),
        probes=(cases.ADAM,),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=("adam-uncorrected", "adam-second-average-uncorrected"),
        script=EQUAL_STEPS,
    ),
    hunt(
        name="hunt-memory",
        title="Some gradients are never cleared",
        target="optim.Optimizer.zero_grad",
        bug="zero-grad-returns-too-early",
        given=(),
        level=1,
        minutes=10,
        builds_on=("zero-grad",),
        why="The weight learns well. The bias moves faster and faster, past every good value and back.",
        notice="Every parameter's gradient is cleared now, not only the first one's.",
        hints=(
            "Print .grad of each parameter after zero_grad().",
            "Which parameters do the loops reach, and which do they miss?",
            "Look at how far each line is indented.",
        ),
        probes=(cases.ZERO_GRAD,),
        program=functools.partial(programs.classify, lr=0.2),
        faults=("zero-grad-returns-too-early",),
        script="""
        # Both should be None after zero_grad.
        import minitrain as torch
        from minitrain import nn

        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(3):
            model(torch.ones(4, 3)).mean().backward()
            optimizer.step()
            Optimizer.zero_grad(optimizer)
            print(f"step {step}: weight.grad {model.weight.grad}, bias.grad {model.bias.grad}")
        """,
    ),
    hunt(
        name="hunt-nan",
        title="Where does the nan come from?",
        target="ops.Pow.backward",
        bug="pow-of-zero",
        level=3,
        minutes=15,
        builds_on=("mul-backward",),
        why="A curve x^b, whose exponent is learned. It works until one of the data points is at 0.",
        notice="At a = 0 the gradient for b is 0 now, not nan: 0 · ln 0 has a limit, and NumPy does not know it.",
        hints=(
            "The program uses detect_anomaly(), which names the operation that produced the first nan, and its inputs.",
            "0^b is 0 for every b above 0. How much does it change when b changes? And what does the code multiply?",
            "0 · ln 0 is 0 · -inf, which is nan. The docstring says that the derivative is 0 there. np.where can "
            "choose.",
            "flat = np.logical_and(np.equal(a, 0), b >= 0). Then use np.where(flat, 0, y * np.log(a)) instead of "
            "y * ln a.",
        ),
        program=programs.powers,
        faults=("pow-of-zero",),
        script="""
        # The exponent should become about 2.
        import minitrain as torch
        from minitrain.autograd import detect_anomaly
        from minitrain.tensor import apply

        x = torch.tensor([0.0, 0.5, 1.0, 1.5])
        target, exponent = x * x, torch.tensor(1.0, requires_grad=True)
        with detect_anomaly():
            for step in range(30):
                error = apply(Pow, x, exponent) - target
                (error * error).sum().backward()
                with torch.no_grad():
                    exponent -= 0.2 * exponent.grad
                exponent.grad = None
        print(exponent)
        """,
    ),
    hunt(
        name="hunt-batch-norm",
        title="A push that batch norm should undo",
        target="ops.Normalize.backward",
        bug="normalize-variance-is-a-constant",
        level=3,
        minutes=15,
        builds_on=("mean-backward",),
        why="Batch norm makes the variance 1, however large x is. So a larger x is no better, and the gradient must "
        "not ask for it. Here it does.",
        notice="Along the normalized axis, the products of x and dL/dx now add up to almost 0: a larger x changes "
        "nothing.",
        hints=(
            "gradcheck(Normalize, [x, None, None], options={'dim': (0,), 'eps': 0.0}) compares it with a measurement. "
            "Try it with dL/dy that is the same for all samples, too.",
            "x influences y in three ways: directly, through the mean, and through the variance. Which of them does "
            "the code have?",
            "The docstring has a term z · mean(g · z). It is a mean like that of g, along the same axes.",
            "along = pairwise_sum(g, ctx.dim, True) / n + z * (pairwise_sum(g * z, ctx.dim, True) / n)",
        ),
        program=programs.normalized,
        faults=("normalize-variance-is-a-constant", "normalize-x-for-z", "normalize-forgets-the-weight"),
        script="""
        # y does not change if x is shifted or stretched, so the gradient has no part in either direction: all are 0.
        import minitrain as torch
        from minitrain.tensor import apply

        torch.manual_seed(0)
        x = torch.randn(6, 3, requires_grad=True)
        y = apply(Normalize, x, None, None, dim=(0,), eps=0.0)
        (y * torch.randn(6, 3)).sum().backward()
        print("shifted:  ", [round(number, 4) for number in x.grad.sum(0).tolist()])
        print("stretched:", [round(number, 4) for number in (x.grad * y).sum(0).tolist()])
        """,
    ),
    hunt(
        name="hunt-average",
        title="Steps that grow when nothing changes",
        target="optim.Adam.update",
        bug="adam-keeps-the-corrected-average",
        given=("__init__",),
        level=3,
        minutes=15,
        builds_on=("adam",),
        why="If the gradient stays the same, all of Adam's steps have the size lr. Here the first one has, and the "
        "later ones are longer.",
        task=f"{TASK} (The decoupled decay is right, and the check does not use it.)",
        notice="The step uses corrected copies now, and the stored averages stay as they are, so later steps are not "
        "too long.",
        hints=(
            "The first step is right. So the formula of a step is right, and something that is remembered is wrong.",
            "exp_avg is an array in state. Which lines write into it, and what does each of them leave there?",
            "The corrected average is needed for this step alone. /= puts it into state, where the next step corrects "
            "it again.",
            "Leave exp_avg as it is, and put the correction into the step: lr / bias_correction1 * exp_avg / denom.",
        ),
        probes=(cases.ADAM, cases.ADAM_MORE),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=("adam-keeps-the-corrected-average", "adam-amsgrad-ignored", "adam-corrections-without-the-power"),
        script=EQUAL_STEPS,
    ),
    hunt(
        name="hunt-climb",
        title="Uphill, and away",
        target="optim.SGD.update",
        bug="sgd-maximize-negates-the-decay",
        given=("__init__",),
        level=2,
        minutes=10,
        builds_on=("sgd",),
        why="With maximize=True the optimizer climbs. The weight decay should still pull towards 0, but here the "
        "parameter ends up farther away than without it.",
        notice="With maximize as without, the decay pulls towards 0: only the gradient of the objective changes its "
        "sign.",
        hints=(
            "Run the file with weight_decay=0 as well. Where is the summit, and to which side of it does the decay "
            "move x?",
            "check_optimizer(SGD, 'sgd') in minitrain.diagnosis.optimcheck tries all options, and reports which of "
            "them are wrong.",
            "Compare with the docstring: what does -grad with maximize change, and what not?",
            "grad = grad + weight_decay * param, with maximize as without.",
        ),
        probes=(cases.SGD, cases.MOMENTUM, cases.SGD_MORE),
        program=functools.partial(programs.classify, weight_decay=0.01),
        faults=("sgd-maximize-negates-the-decay", "sgd-maximize-ignored"),
        script="""
        # The summit of 6 x - x² is at 3. With a weight decay of 1, x should stop at 2.
        import minitrain as torch

        x = torch.zeros(1, requires_grad=True)
        optimizer = SGD([x], lr=0.1, weight_decay=1.0, maximize=True)
        for step in range(40):
            (6 * x - x * x).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        print(f"x = {x.item():.3f}")
        """,
    ),
)
