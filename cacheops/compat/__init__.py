"""For projects that come from django-cacheops: put "cacheops.compat" into INSTALLED_APPS, and every queryset and
manager has `.cache()`, `.nocache()` and `.invalidated_update()`.

This app and cacheops.fastpath are the places that change classes of Django's. Without it, models that want these
methods use CachedManager.
"""
