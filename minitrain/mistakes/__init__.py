"""The catalogue of mistakes that people make, each planted once: what gradcheck, compare and the exercises try."""
