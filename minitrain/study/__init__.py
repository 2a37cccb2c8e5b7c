"""Pages and pictures of what really happened: one training step with every number, a run, the tape."""

from minitrain.study.recording import Step, recording

__all__ = ["Step", "recording"]
