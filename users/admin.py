"""People and tokens in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from cacheops.sessions import end_sessions_of
from users.adminsite import PlatformAdmin
from users.models import ApiToken, User

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, PlatformAdmin):  # type: ignore[misc]  # the stubs are of Django 5.2
    """Groups, as Django has them."""


@admin.register(User)
class UserAdmin(DjangoUserAdmin, PlatformAdmin):  # type: ignore[misc]
    """People. Apps above add what belongs to a person (`UserAdmin.inlines`)."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "first_name", "last_name", "home_region", "is_staff", "is_active"]
    list_filter = ["is_active", "is_staff", "is_superuser", "home_region"]
    filter_horizontal = ["groups", "user_permissions"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [*DjangoUserAdmin.fieldsets, ("Platform", {"fields": ["home_region"]})]  # type: ignore[misc]
    inlines: ClassVar[list[Any]] = []  # filled by apps whose models belong to people
    actions = ["sign_out_everywhere"]

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:
        return self.inlines if obj else []

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out_everywhere(self, request: HttpRequest, people: QuerySet[User]) -> None:
        ended = sum(end_sessions_of(person.pk) for person in people)
        self.message_user(request, f"{ended} sessions ended in all regions.")


@admin.register(ApiToken)
class ApiTokenAdmin(PlatformAdmin):
    """Tokens. Adding one shows its secret, once; it cannot be read again."""

    list_display = ["name", "user", "is_valid", "created_at", "expires_at", "last_used_at"]
    list_select_related = ["user"]
    list_filter = ["created_at", "expires_at"]
    search_fields = ["name", "user__username", "user__email"]
    search_help_text = "Name of the token, or its owner's user name or address"
    autocomplete_fields = ["user"]
    fields = ["user", "name", "expires_at", "created_at", "last_used_at"]
    actions = ["expire_now"]

    @admin.display(boolean=True, description="valid")
    def is_valid(self, token: ApiToken) -> bool:
        return token.is_valid

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return ["created_at", "last_used_at", *(["user"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: ApiToken, form: ModelForm, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        issued, request.token_secret = ApiToken.issue(obj.user, obj.name, obj.expires_at)  # type: ignore[attr-defined]
        obj.pk = issued.pk

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret on a page of its own. A message would keep it in a cookie or the session."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Token {obj.name}",
            "opts": self.opts,
            "token": obj,
            "secret": request.token_secret,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "admin/users/apitoken/issued.html", context)
        add_never_cache_headers(response)
        return response

    @admin.action(description="Expire selected tokens now")
    def expire_now(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        count = queryset.active().expire()  # type: ignore[attr-defined]
        self.message_user(request, f"{count} expired; programs that use them are refused from now on.")
