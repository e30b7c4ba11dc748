"""What can go wrong with the local regions.

LocalRegionsError
├── ProgramMissing       no server program found
├── ProgramUnsuitable    one found, but it is too old or lacks TLS
├── ServerFailed         a server did not start
├── NotRunning           no supervisor answers
└── UnknownName          no such region or node
"""


class LocalRegionsError(Exception):
    """The base of all errors here; its message says what is wrong and what to do."""


class ProgramMissing(LocalRegionsError):
    """No server program found."""


class ProgramUnsuitable(LocalRegionsError):
    """A server program was found that cannot do what is asked of it."""


class ServerFailed(LocalRegionsError):
    """A server ended, or did not answer, while it was started."""


class NotRunning(LocalRegionsError):
    """The local regions are not running."""


class UnknownName(LocalRegionsError):
    """There is no such region or node."""
