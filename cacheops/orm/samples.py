"""What a sample (a queryset, a model, an instance) depends on, as tables and tags."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models.sql.compiler import SQLCompiler

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption
from cacheops.keys import TableKeys
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.plan import plan_for
from cacheops.orm.transaction import transaction_of
from cacheops.stores.base import TableTags


def sample_tables(samples: Iterable[Any]) -> tuple[TableTags, ...]:
    """Return the tables and tags of samples, each table once. Raise InvalidOption for one that can't be followed."""
    found: dict[TableKeys, tuple[set[str], set[str]]] = {}
    for sample in samples:
        queryset = queryset_of(sample)
        for table, tags, schemes in _dependencies(queryset):
            keys = TableKeys.of(conf.prefix, queryset.db, table)
            names, kinds = found.setdefault(keys, (set(), set()))
            names.update(tags)
            kinds.update(schemes)
    return tuple(TableTags(keys, tuple(sorted(tags)), tuple(sorted(kinds))) for keys, (tags, kinds) in found.items())


def queryset_of(sample: Any) -> "models.QuerySet[Any]":
    """Return the queryset whose result a sample stands for."""
    if isinstance(sample, models.QuerySet):
        return sample
    if isinstance(sample, type) and issubclass(sample, models.Model):
        return sample._default_manager.all()
    if isinstance(sample, models.Model):
        return type(sample)._default_manager.using(sample._state.db).filter(pk=sample.pk)
    raise InvalidOption(f"{sample!r} is no sample: use a queryset, a model or an instance.")


def _dependencies(queryset: "models.QuerySet[Any]") -> Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    query = queryset.query.clone()
    compiler: SQLCompiler = query.get_compiler(using=queryset.db)
    try:
        fingerprint = Fingerprint(query)
        template = plan_for(compiler, fingerprint).template
    except (NoFingerprint, EmptyResultSet):
        template = None
    if template is not None:
        return template.tags(fingerprint.parameters, conf.max_tags)
    if query.is_empty():
        return ()
    raise InvalidOption(f"The sample {queryset.query} can't be followed: it reads what the cache does not know of.")


def written_in_transaction(samples: Iterable[Any]) -> bool:
    """Say whether an open transaction has changed what a sample reads, or sees a snapshot: then nothing is cached."""
    for sample in samples:
        queryset = queryset_of(sample)
        connection: Any = connections[queryset.db]
        transaction = transaction_of(connection)
        if not hasattr(connection, "cacheops_snapshots") or transaction.has_snapshot():
            return True
        if transaction.changes and any(table in transaction.changes.tables for table, *_ in _dependencies(queryset)):
            return True
    return False
