"""Two versions of a model on one machine, in turn: is one slower, and by how much?"""
