"""Demo data: real places, invented sensors, curves that look like weather. The same call gives the same data.

places, curves, people -> seed; the command `seed_demo` is the front.
"""
