"""Every address of the platform."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import path

from cacheops.monitoring.views import metrics as cache_metrics
from xyzsite.api.application import api
from xyzsite.web import account, analytics, devices, health, locations, operations, overview, thresholds

handler500 = "xyzsite.unavailable.server_error"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("locations/", locations.locations, name="locations"),
    path("locations/<slug:code>/", locations.location, name="location"),
    path("locations/<slug:code>/new-device/", operations.new_device, name="new_device"),
    path("locations/<slug:code>/statuses/", operations.change_statuses, name="change_statuses"),
    path("devices/<str:serial>/", devices.device, name="device"),
    path("devices/<str:serial>/change/", operations.change_device, name="change_device"),
    path("thresholds/", thresholds.thresholds, name="thresholds"),
    path("thresholds/new/", thresholds.new_threshold, name="new_threshold"),
    path("thresholds/<int:pk>/change/", thresholds.change_threshold, name="change_threshold"),
    path("thresholds/<int:pk>/delete/", thresholds.delete_threshold, name="delete_threshold"),
    path("analytics/", analytics.analytics, name="analytics"),
    path("analytics.csv", analytics.analytics_csv, name="analytics_csv"),
    path("sign-in/", account.SignIn.as_view(), name="sign_in"),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
    path("profile/", account.profile, name="profile"),
    path("profile/tokens/<int:pk>/revoke/", account.revoke_token, name="revoke_token"),
    path("healthz", health.healthz, name="healthz"),
    path("healthz/live", health.live, name="healthz_live"),
    path("metrics", cache_metrics, name="metrics"),
    path("api/", api.urls),
    path("admin/", admin.site.urls),
]
