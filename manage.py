#!/usr/bin/env python3
"""Django's command-line entry point; settings default to xyzsite.settings.local."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xyzsite.settings.local")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed here: run `make run` or `make test`, which make .venv.") from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
