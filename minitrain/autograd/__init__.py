"""What torch.autograd offers above the tape: for now, a picture of what backward will do."""

from minitrain.autograd.graph import print_tape

__all__ = ["print_tape"]
