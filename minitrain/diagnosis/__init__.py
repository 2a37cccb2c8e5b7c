"""What is wrong with a gradient, an optimizer, or a training run that produced nan: checks that name the mistake."""
