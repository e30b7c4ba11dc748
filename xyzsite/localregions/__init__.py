"""The specification's three regions as real servers on this machine, and what may happen to them."""
