"""Training: the two loops, the built-in model, a whole run, and files of what was learned."""
