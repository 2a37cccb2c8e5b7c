"""Wrong predictions of what backward does, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
learn.reading.GradientShapes.prediction

read-shapes-of-the-batch: values
  b.grad and row.grad have a row for each sample.
  Broadcasting copied the two for both samples. Their gradients are summed back to the one row that each of them has.
- "b": [4], "row": [1, 4]  =>  "b": [2, 4], "row": [2, 4]
read-shapes-of-the-data: values
  x.grad has x's shape.
  x does not require a gradient, as data never does, so backward computes none: x.grad stays None.
- "x": None  =>  "x": [2, 3]
read-shapes-without-the-one: values
  row.grad has the shape [4].
  A gradient has exactly the shape of its Tensor, also where that has an axis of size 1.
- "row": [1, 4]  =>  "row": [4]
read-shapes-transposed: values
  W.grad has the shape [4, 3].
  In nn.Linear the weight is stored as (out, in). Here W is (3, 4) and is used as it is, and so is its gradient.
- "W": [3, 4]  =>  "W": [4, 3]
read-shapes-of-a-number: values
  scale.grad has the shape [1].
  A Tensor of one number without axes has the empty shape. [1] would be a row of one number.
- "scale": []  =>  "scale": [1]

learn.reading.NoneOrZero.prediction

read-none-behind-relu: values
  negative.grad is None.
  relu is flat there, so all numbers are 0. But the walk back passes through it and arrives: the gradient exists.
- "negative": "zero"  =>  "negative": "none"
read-zero-behind-detach: values
  cut.grad is zero.
  detach() leaves nothing on the tape to walk along. No gradient arrives, not even zeros.
- "cut": "none"  =>  "cut": "zero"
read-zero-where-unused: values
  unused.grad is zero.
  The loss does not depend on it, so the walk never reaches it, and .grad stays None. An optimizer skips it then.
- "unused": "none"  =>  "unused": "zero"
read-none-times-zero: values
  times_zero.grad is None.
  The walk follows the operations, whatever their values are. The product by 0.0 sends a gradient of zeros.
- "times_zero": "zero"  =>  "times_zero": "none"
read-numbers-in-between: values
  h.grad has numbers.
  backward computes dL/dh and passes it on. Only leaves keep theirs in .grad, unless h.retain_grad() asks for it.
- "h": "none"  =>  "h": "numbers"

learn.reading.Tape.prediction

read-tape-in-program-order: values
  the operations are numbered as the program runs.
  print_tape lists them as backward visits them, the last one first: the loss's own operation is #1.
- return {
-     "#1 SumBackward0": ["#2"],
-     "#2 MulBackward0": ["#3", "#5"],
-     "#3 ExpBackward0": ["#4"],
-     "#4 AddBackward0": ["#5", "leaf 1"],
-     "#5 MulBackward0": [None, "leaf 2"],
- }
+ return {
+     "#1 MulBackward0": [None, "leaf 1"],
+     "#2 AddBackward0": ["#1", "leaf 2"],
+     "#3 ExpBackward0": ["#2"],
+     "#4 MulBackward0": ["#3", "#1"],
+     "#5 SumBackward0": ["#4"],
+ }
read-tape-h-is-copied: values
  h occurs twice, once for each use.
  h is one value with one operation. Both of its uses send their gradients to this operation, where they add up.
- "#5 MulBackward0": [None, "leaf 2"],
+ "#5 MulBackward0": [None, "leaf 2"],
+         "#6 MulBackward0": [None, "leaf 2"],
read-tape-data-gets-a-gradient: values
  h's operation sends a gradient to x.
  x requires no gradient, so nothing is sent, and the tape does not list it as a leaf.
- [None, "leaf 2"]  =>  ["leaf 3", "leaf 2"]
read-tape-leaves-by-creation: values
  w is leaf 1, since it was made first.
  The leaves are numbered as the list meets them. b's addition is nearer to the loss than w's product.
- "leaf 1"]  =>  "leaf 2"]
- [None, "leaf 2"]  =>  [None, "leaf 1"]

learn.reading.VisitingOrder.prediction

read-order-depth-first: values
  first all the way down through the first inputs.
  u would be visited before v, which still has to send a gradient to u. An operation waits for all users of its result.
- "s", "v", "u", "h"  =>  "s", "u", "h", "v"
read-order-forward: values
  in the order of the program.
  backward starts at the loss, with dL/dL = 1, and goes from each result to what it was made of.
- ["loss", "y", "s", "v", "u", "h"]  =>  ["h", "u", "v", "s", "y", "loss"]
read-order-visits-all: values
  size is visited, too.
  The loss was not computed from size. backward sees only what the loss was made of.
- "s", "v"  =>  "s", "size", "v"
read-order-visits-twice: values
  h is visited once for each use.
  The gradients of all uses are added up first. Then the operation is visited once, with their sum.
- "u", "h"]  =>  "h", "u", "h"]
"""
