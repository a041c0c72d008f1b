"""The local stack behind `enginehouse up`: processes, model loading, repair."""
