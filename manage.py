#!/usr/bin/env python3
"""Django's command-line entry point; settings default to xyzsite.settings.local."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xyzsite.settings.local")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed here: run `make run` or `make test`, which make .venv.") from error
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        raise SystemExit(f"{sys.argv[0]}: {error}") from error


if __name__ == "__main__":
    main()
