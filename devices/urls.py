from django.urls import path

from devices import views

urlpatterns = [path("devices/<str:serial>/", views.device, name="device")]
