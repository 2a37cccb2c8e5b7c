"""Mistakes in the walk back through the tape, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
tape.walk_back

walk-back-overwrites: path-forgotten
  pending[edge] = input_grad, also where a gradient is waiting already.
  A value that is used twice gets a gradient from each use, and they add up. Here the later gradient replaces the
  earlier one, as if the value had been used once: in x · x, a residual connection, or a weight that two layers share.
- np.asarray(pending[edge] + input_grad)  =>  input_grad
walk-back-visits-too-early: path-forgotten
  Each node is visited once, as soon as the first gradient reaches it.
  This walks in depth, without sorting first. A value that is used twice is passed as soon as one of its users has been
  visited, and the other user's gradient comes too late. Where no value is used twice it is right.
+ pending: dict[Node | AccumulateGrad, Array] = {root: grad}
+ visited: set[Node | AccumulateGrad] = set()
+ waiting = [root] if isinstance(root, Node) else []
+ while waiting:
+     node = waiting.pop()
+     if node in visited:
+         continue
+     visited.add(node)
+     input_gradients = node.input_gradients(pending.pop(node))
+     if not retain_graph:
+         node.free()
+     for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
+         if edge is None or input_grad is None or edge in visited:
+             continue
+         pending[edge] = pending[edge] + input_grad if edge in pending else input_grad
+         if isinstance(edge, Node):
+             waiting.append(edge)
+ for leaf, grad in pending.items():
+     if isinstance(leaf, AccumulateGrad):
+         leaf.variable.receive_grad(grad, owned=False)
walk-back-starts-from-one: grad-output-missing
  pending = {root: 1}, whatever gradient was given.
  loss.backward() starts with dL/dL = 1, so it is right. y.backward(gradient) should start with the given gradient.
- {root: grad}  =>  {root: np.ones_like(grad)}
walk-back-hands-out-in-reverse: inputs-swapped
  The gradient of a node's first input goes to its last, and the other way round.
  The gradients are right, but sent to the wrong inputs. With one input, and for a sum, it makes no difference.
- in zip(node.next_functions, input_gradients, strict=True)
+ in zip(node.next_functions, input_gradients[::-1], strict=True)
walk-back-adds-in-place: values
  pending[edge] += input_grad.
  Add sends the same array to both of its operands. Written in place, it changes the gradient of the other one as well.
- pending[edge] = np.asarray(pending[edge] + input_grad)  =>  pending[edge] += input_grad
walk-back-takes-any-order: values
  node = the last one in the heap's list, not the newest.
  A node must wait until everything that used its result has been visited. In another order gradients arrive too late.
- heapq.heappop(newest_first)  =>  newest_first.pop()
walk-back-follows-one-path: values
  Only each node's first input gets a gradient.
  In w · x + b that leaves out x's and b's share. Whatever lies behind them never learns.
- if edge is None or input_grad is None:  =>  if input_grad is not input_gradients[0] or edge is None:

tensor.Tensor.receive_grad

receive-grad-overwrites: values
  .grad = grad, also where there is a gradient already.
  A second backward must add to what the first one left. That is how a large batch is built from small ones.
- self._grad.array += grad  =>  self._grad.array[...] = grad
receive-grad-keeps-what-others-own: values
  .grad keeps the array that it was given, always.
  The array may belong to another Tensor as well. Then a later change of one gradient changes the other.
- elif owned and grad.strides == self.array.strides  =>  elif True
"""
