"""The database of a command of its own."""

from tests.devices import conftest as devices

sqlite = devices.sqlite
