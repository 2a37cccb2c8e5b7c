"""The exercises of the track "Embedding"."""

from __future__ import annotations

import functools

from minitrain.learn import layer_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

exercise = functools.partial(Exercise, track="Embedding", program=programs.embedded)

EXERCISES = (
    exercise(
        name="embedding-forward",
        title="A vector for each word",
        target="nn.embedding.embedding",
        gap=("return apply(ops.Index, weight", "return apply(ops.Index, weight"),
        level=1,
        minutes=5,
        why="A network cannot compute with the word number 4711. An embedding is a table with a vector for each word, "
        "and these vectors are learned.",
        task="Return the row of weight (V, D) for each number in input (...), in the shape (..., D). Both are Tensors, "
        "and the result must be part of the graph, so that the table learns. (The run has a grey level for each word.)",
        hints=(
            "You know how to take rows 2, 0 and 2 of a NumPy array: table[[2, 0, 2]]. Tensors can do that, too.",
            "If input is (N, T), the rows are (N, T, D): indexing with an array does that on its own.",
            "return weight[input]",
        ),
        notice="The table multiplies nothing: 17 grey levels have become 17 vectors of 4 numbers, all of them learned.",
        probes=cases.EMBEDDING,
        faults=(
            "embedding-detached",
            "embedding-counts-from-one",
            "embedding-takes-the-columns",
            "embedding-of-the-first-word",
            "embedding-flattens-the-words",
        ),
    ),
    exercise(
        name="embedding-backward",
        title="A word that occurs twice learns twice",
        target="ops.Index.backward",
        level=2,
        minutes=10,
        builds_on=("embedding-forward", "index-backward"),
        why="The rows of the words that occur get a gradient, and a common word gets many. Words that do not occur "
        "learn nothing in this step.",
        task="Return dL/dx for a table x (V, D), ctx.shape. Here ctx.index is always a tuple with one array of "
        "integers, the words (...), and grad_y is (..., D). Each row gets the sum of dL/dy over all places where its "
        "word occurs, in all sentences.",
        hints=(
            "Start with zeros in the shape of the table. Go through all words, and add each one's dL/dy to its row.",
            "grad_x[words] += grad_y keeps only one of several gradients for the same word. Use a loop, or "
            "np.add.at(grad_x, words, grad_y).",
            "Looking up is a product with a matrix of zeros and a single 1 in each row (one-hot), (N, V) @ (V, D). "
            "So the gradient is its transpose times dL/dy, which adds up on its own.",
            "grad_x = np.zeros(ctx.shape, grad_y.dtype); np.add.at(grad_x, ctx.index, grad_y); return grad_x",
        ),
        notice="Black is by far the most frequent word of these images, so its vector gets the largest gradient.",
        probes=(cases.LOOK_UP,),
        faults=(
            "index-overwrites",
            "index-averages-over-the-places",
            "index-writes-into-a-copy",
            "index-into-whole-numbers",
            "index-without-the-chain-rule",
        ),
    ),
    exercise(
        name="embedding-padding",
        title="A word that means nothing",
        target="nn.embedding.embedding",
        gap=("kept = np.ones", "return apply(ops.Index, table"),
        level=2,
        minutes=15,
        builds_on=("embedding-forward",),
        why="Sentences of a batch have different lengths, so short ones are filled up with a padding word. It stands "
        "for nothing, and must not learn anything.",
        task="Return weight[input], as before, but the row padding_idx of weight must get no gradient. Its values are "
        "used as they are. input and weight are Tensors; rows is the number of rows.",
        hints=(
            "A Tensor's detach() has the same values, but passes no gradient.",
            "Mix the two: weight where a word may learn, weight.detach() where it may not. A mask of ones and zeros "
            "does that by multiplication.",
            "kept = np.ones((rows, 1), weight.dtype); kept[padding_idx] = 0; wrap(kept) is a Tensor.",
            "table = weight * wrap(kept) + weight.detach() * wrap(1 - kept); return table[input]",
        ),
        notice="In this run black is the padding: its vector keeps its zeros, and the loss falls all the same.",
        probes=cases.PADDING,
        program=functools.partial(programs.embedded, padding_idx=0),
        faults=(
            "embedding-padding-learns",
            "embedding-padding-becomes-zero",
            "embedding-only-padding-learns",
            "embedding-nothing-learns",
        ),
    ),
)
