"""What can go wrong with an import.

ImportFailed     the import stops: a file that can not be read, a wrong header, a bad row under --strict
BadRow           one row is left out, reported and counted
"""


class ImportFailed(Exception):
    """An import can not go on; the message says what is wrong and what to do."""


class BadRow(ValueError):
    """A row can not be imported; the message says why."""
