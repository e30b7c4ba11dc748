"""What can go wrong with an import.

ImportFailed     the import stops: a bad row under --strict, a database that takes no imports
  FileFailed     a file can not be read, or has another header; others may
BadRow           one row, or one value of it, is left out, reported and counted
"""


class ImportFailed(Exception):
    """An import can not go on; the message says what is wrong and what to do."""


class FileFailed(ImportFailed):
    """A file can not be imported; the message names it, and says what is wrong and what to do."""


class BadRow(ValueError):
    """A row, or a value of it, can not be imported; the message says why."""
