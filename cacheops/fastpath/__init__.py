"""The fast path for models with Django's own manager: put "cacheops.fastpath" into INSTALLED_APPS.

Their hits then build no query, as those of models with CachedManager. Without the app they are cached, too, but a query
is built for each hit.

Every manager whose class names no queryset class of its own gets CachedQuerySet: the default one, the base manager (of
foreign keys), related managers, and those that override get_queryset(). A project's own queryset class inherits from
CachedQuerySet for the same.
"""
