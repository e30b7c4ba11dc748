"""The database engine of a replica that is read past the cache: Django's, which does not wait for a frozen server."""

from django.db.backends.postgresql import base

from cacheops.db.backends.postgresql.patience import PatientWrapper


class DatabaseWrapper(PatientWrapper, base.DatabaseWrapper):
    pass
