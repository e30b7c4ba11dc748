from django.urls import path

from locations import views

urlpatterns = [
    path("locations/", views.locations, name="locations"),
    path("locations/<slug:code>/", views.location, name="location"),
]
