"""A device fleet that posts readings while people browse, and the account of what became of every reading."""
