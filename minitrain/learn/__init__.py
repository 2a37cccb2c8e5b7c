"""The exercises: pieces of minitrain with their bodies taken out, to be written, checked and understood."""
