"""The catalogue of known mistakes: the zoo, the planted faults and the exercises' wrong solutions come from it."""
