"""Names the mistake in a hand-written backward over several layers."""

from minitrain.diagnosis.network.explain import explain_network

__all__ = ["explain_network"]
