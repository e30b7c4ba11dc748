"""For projects that come from django-cacheops: put "cacheops.compat" into INSTALLED_APPS, and every queryset and
manager has `.cache()`, `.nocache()` and `.invalidated_update()`.

This is the one place that adds to classes of Django's. Without it, models that want these methods use CachedManager.
"""
