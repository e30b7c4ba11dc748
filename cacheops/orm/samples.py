"""What a sample (a queryset, a model, an instance, RowsOf) depends on, as tables and tags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.db import models, router
from django.db.models.sql.compiler import SQLCompiler

from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.engine import memo
from cacheops.exceptions import InvalidOption
from cacheops.orm.catalogue import exact_columns
from cacheops.orm.connection import cacheops_of
from cacheops.orm.dependencies import Dependency
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.plan import plan_for
from cacheops.orm.schema import has_ranges, is_exact, is_tracked
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import WHOLE_TABLE, NoToken, Part, named_by, scheme_of
from cacheops.reading.policy import Source
from cacheops.stores.base import TableTags


class TimeBucket(NamedTuple):
    """The time of `seconds` that a moment lies in, counted off from 1970 in UTC."""

    moment: Any
    seconds: int


@dataclass(frozen=True, slots=True)
class RowsOf:
    """Rows of a model by the values of some columns: a sample for which no query is built.

    A condition is a value, a list of values, or for moments and dates a TimeBucket. Names are those of attributes
    (`device_id`). So RowsOf(Reading, {"device_id": [1, 2], "taken_at": TimeBucket(noon, 3600)}) stands for the readings
    of two devices in one hour. `using` is the database; by default the one that reads of the model go to.
    """

    model: type[models.Model]
    conditions: Mapping[str, Any]
    using: str | None = None

    @property
    def database(self) -> str:
        return self.using or router.db_for_read(self.model)

    def dependency(self, database: str) -> Dependency:
        """Return the table, tags and scheme of a database. Raise InvalidOption for conditions that no tag can have."""
        widths = tuple(
            (name, value.seconds if isinstance(value, TimeBucket) else None) for name, value in self.conditions.items()
        )
        scheme, texts, parts = _scheme(self.model, widths)
        exact = exact_columns(database, self.model._meta.db_table)
        try:
            if not all(part.column in exact for _, part in parts):
                raise NoToken("the database finds equal what Python does not")
            tokens = [[part.token(value) for value in _values(self.conditions[name])] for name, part in parts]
        except NoToken:
            return self.model._meta.db_table, (WHOLE_TABLE,), (WHOLE_TABLE,)
        names = tuple([named_by(scheme, texts, row) for row in product(*tokens)])
        return self.model._meta.db_table, names, (scheme,)


def _values(condition: Any) -> Any:
    if isinstance(condition, TimeBucket):
        return (condition.moment,)
    return condition if isinstance(condition, list | tuple | set | frozenset) else (condition,)


@memo()
def _scheme(
    model: type[models.Model], widths: tuple[tuple[str, int | None], ...]
) -> tuple[str, tuple[str, ...], tuple[tuple[str, Part], ...]]:
    """Return the scheme of conditions, its columns' texts, and each condition's name with its part, in its order."""
    table = model._meta.db_table
    found: dict[str, tuple[str, Part]] = {}
    for name, width in widths:
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            field = None
        if not isinstance(field, models.Field):
            raise InvalidOption(f"{model._meta.label} has no column for {name!r}: name one of its own fields.")
        column = str(field.column)
        if not (is_exact(table, column) if width is None else has_ranges(table, column)):
            raise InvalidOption(
                f"{model._meta.label}.{name} can't stand in RowsOf{'' if width is None else ' with a TimeBucket'}: its "
                "equality in the database is not that of Python. Leave it out; wider is safe."
            )
        found[column] = (name, Part(column, width))
    scheme = scheme_of({column: part.width for column, (_, part) in found.items()})
    return scheme, tuple(scheme.split(",")), tuple(found[column] for column in sorted(found))


SampleLike: TypeAlias = models.QuerySet[Any] | type[models.Model] | models.Model | RowsOf


class Sample:
    """A sample as one call uses it: its database and dependencies are worked out once, since a router may answer anew.

    `given` is a queryset, a model, an instance or RowsOf. Raise InvalidOption for anything else.
    """

    __slots__ = ("_found", "_given", "_queryset", "database", "model")

    def __init__(self, given: Any) -> None:
        self._given = given
        self._queryset = None if isinstance(given, RowsOf) else queryset_of(given)
        self._found: Sequence[Dependency] | None = None
        self.database: str = given.database if self._queryset is None else self._queryset.db
        self.model = model_of(given)

    @property
    def dependencies(self) -> Sequence[Dependency]:
        """The tables, tags and schemes. Raise InvalidOption for a sample that can't be followed."""
        if self._found is None:
            self._found = (
                _of_rows(self._given, self.database) if self._queryset is None else _of_queryset(self._queryset)
            )
        return self._found

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple([table for table, *_ in self.dependencies])

    @property
    def source(self) -> Source:
        """What decides whether an entry of this sample may be cached."""
        return Source(self.model, cacheops_of(self.database), self.tables)


def sample_tables(samples: Iterable[Sample]) -> tuple[TableTags, ...]:
    """Return the tables and tags of samples, each table once. Raise InvalidOption for one that can't be followed."""
    found: dict[TableKeys, tuple[set[str], set[str]]] = {}
    for sample in samples:
        for table, tags, schemes in sample.dependencies:
            keys = table_keys(sample.database, table)
            names, kinds = found.setdefault(keys, (set(), set()))
            names.update(tags)
            kinds.update(schemes)
    return tuple(TableTags(keys, tuple(sorted(tags)), tuple(sorted(kinds))) for keys, (tags, kinds) in found.items())


def sample_databases(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the aliases of the databases that samples are read from, each once, sorted."""
    return tuple(sorted({sample.database for sample in samples}))


def queryset_of(sample: Any) -> "models.QuerySet[Any]":
    """Return the queryset whose result a sample stands for."""
    if isinstance(sample, models.QuerySet):
        return sample
    if isinstance(sample, type) and issubclass(sample, models.Model):
        return sample._default_manager.all()
    if isinstance(sample, models.Model):
        return type(sample)._default_manager.using(sample._state.db).filter(pk=sample.pk)
    raise InvalidOption(f"{sample!r} is no sample: use a queryset, a model, an instance or RowsOf.")


def model_of(sample: Any) -> type[models.Model]:
    """Return the model whose rows a sample stands for. Raise InvalidOption for what is no sample."""
    if isinstance(sample, models.QuerySet | RowsOf):
        return sample.model
    if isinstance(sample, type) and issubclass(sample, models.Model):
        return sample
    return type(sample) if isinstance(sample, models.Model) else queryset_of(sample).model


def _of_rows(rows: RowsOf, database: str) -> Sequence[Dependency]:
    if not is_tracked(rows.model._meta.db_table):
        raise InvalidOption(f"{rows.model._meta.label} has the profile None: it can't be a sample.")
    return (rows.dependency(database),)


def _of_queryset(queryset: "models.QuerySet[Any]") -> Sequence[Dependency]:
    query = queryset.query.clone()
    compiler: SQLCompiler = query.get_compiler(using=queryset.db)
    try:
        fingerprint = Fingerprint(query)
        template = plan_for(compiler, fingerprint).template
    except (NoFingerprint, EmptyResultSet):
        template = None
    if template is not None:
        return tuple(template.tags(fingerprint.parameters, conf.max_tags))
    if _matches_nothing(compiler):
        return ()
    raise InvalidOption(f"The sample {queryset.query} can't be followed: it reads what the cache does not know of.")


def _matches_nothing(compiler: SQLCompiler) -> bool:
    """Return whether a query has no SQL, as `none()` and `filter(pk__in=[])`: no write changes what it gives."""
    try:
        compiler.as_sql()
    except EmptyResultSet:
        return True
    return False
