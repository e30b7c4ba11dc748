from tests.cacheops.orm import conftest as orm

_django_db_helper, cache = orm._django_db_helper, orm.cache  # every write is committed
