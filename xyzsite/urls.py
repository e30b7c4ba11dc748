"""Every address of the platform."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from cacheops.views import metrics as cache_metrics
from xyzsite import views
from xyzsite.api import api

urlpatterns = [
    path("", views.overview, name="overview"),
    path("", include("locations.urls")),
    path("", include("devices.urls")),
    path("", include("analytics.urls")),
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
    path("profile/", views.profile, name="profile"),
    path("profile/tokens/<int:pk>/revoke/", views.revoke_token, name="revoke_token"),
    path("healthz", views.healthz, name="healthz"),
    path("metrics", cache_metrics, name="metrics"),
    path("api/", api.urls),
    path("admin/", admin.site.urls),
]
