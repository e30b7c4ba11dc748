"""Django's compilers for PostgreSQL, with the cache before SELECTs and an eye on writes."""

from django.db.backends.postgresql import compiler as base

from cacheops.orm.read_compiler import CachingCompiler
from cacheops.orm.write_compiler import CapturingDelete, CapturingInsert, CapturingUpdate


class SQLCompiler(CachingCompiler, base.SQLCompiler):
    pass


class SQLAggregateCompiler(CachingCompiler, base.SQLAggregateCompiler):
    pass


class SQLInsertCompiler(CapturingInsert, base.SQLInsertCompiler):
    pass


class SQLUpdateCompiler(CapturingUpdate, base.SQLUpdateCompiler):
    pass


class SQLDeleteCompiler(CapturingDelete, base.SQLDeleteCompiler):
    pass
