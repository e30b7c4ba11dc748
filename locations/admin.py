"""Locations and memberships in the admin."""

from django.contrib import admin
from unfold.admin import TabularInline

from locations.models import Location, Membership
from users.admin import UserAdmin
from users.adminsite import PlatformAdmin


class MembershipInline(TabularInline):
    """Who belongs to a location, or to which locations a person belongs."""

    model = Membership
    autocomplete_fields = ["user", "location"]
    extra = 0
    ordering = ["location__name", "user__username"]


UserAdmin.inlines.append(MembershipInline)


@admin.register(Location)
class LocationAdmin(PlatformAdmin):
    """Places, with their members."""

    list_display = ["name", "code", "region", "timezone", "active"]
    list_filter = ["active", "region"]
    search_fields = ["name", "code"]
    search_help_text = "Name or code"
    inlines = [MembershipInline]


@admin.register(Membership)
class MembershipAdmin(PlatformAdmin):
    """Who may do what, where."""

    list_display = ["user", "location", "role"]
    list_select_related = ["user", "location"]
    list_filter = ["role", "location__region"]
    search_fields = ["user__username", "user__email", "location__name", "location__code"]
    search_help_text = "A person's user name or address, or a location's name or code"
    autocomplete_fields = ["user", "location"]
    ordering = ["location__name", "user__username"]
