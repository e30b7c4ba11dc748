"""The mail server that an address names, as Django's settings say it."""

from typing import Any

import django
import environ
from django.core.exceptions import ImproperlyConfigured

TIMEOUT = 10  # seconds: while a worker waits for the mail server, it stores no readings
# What a backend takes as OPTIONS of MAILERS, and the setting that says it up to Django 6.0.
OPTIONS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
}


def mail_settings(variable: str, url: str) -> dict[str, Any]:
    """Return Django's settings for the server whose address a variable holds. Raise ImproperlyConfigured."""
    try:
        found = environ.Env.email_url_config(url) | {"EMAIL_TIMEOUT": TIMEOUT}
    except (ImproperlyConfigured, KeyError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{variable} must be the address of a mail server: smtp+tls://user:password@host:587 (or smtp+ssl:, smtp:)."
        ) from error
    if not url.startswith("smtp"):  # on the console, in memory
        found = {"EMAIL_BACKEND": found["EMAIL_BACKEND"]}
    if django.VERSION < (6, 1):
        return {name: value for name, value in found.items() if value is not None}
    options = {option: found[name] for option, name in OPTIONS.items() if found.get(name) is not None}
    return {"MAILERS": {"default": {"BACKEND": found["EMAIL_BACKEND"], "OPTIONS": options}}}
