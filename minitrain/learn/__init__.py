"""The exercises: pieces of minitrain without their bodies, for the learner to write and check."""
