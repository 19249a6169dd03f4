"""One module a stack, in the order of the journey of a record."""
