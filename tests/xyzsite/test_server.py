"""gunicorn's settings: how the main process ends."""

import errno
from types import SimpleNamespace
from unittest import mock

import pytest

from xyzsite import server as settings


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOMEM, errno.ENOPROTOOPT])
def test_a_filter_that_is_forbidden_keeps_no_request_from_its_answer(code: int) -> None:
    sock, stop, log = mock.Mock(), mock.Mock(), mock.Mock()
    sock.setsockopt.side_effect = OSError(code, "no")
    server = SimpleNamespace(LISTENERS=[SimpleNamespace(sock=sock)] * 2, stop=stop, log=log)
    settings.when_ready(server)
    server.stop()
    stop.assert_called_once_with(True)
    assert sock.setsockopt.call_count == log.warning.call_count == 2
