"""The panel's pages: each asks for its permission, answers GET without changing anything, and POST with one action."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.sites import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from cacheops.conf import conf
from cacheops.exceptions import CacheopsError, InvalidKey, StoreError
from cacheops.models import Panel
from cacheops.monitoring.fleet import own_breakers
from cacheops.panel import entries_page, models_page, overview, region_page
from cacheops.panel.actions import ACTIONS, Action
from cacheops.panel.entry_page import look_up_keys, look_up_row
from cacheops.panel.forms import EntriesForm, LookUpForm
from cacheops.panel.polling import answers
from cacheops.panel.query_look_up import look_up_query
from cacheops.panel.switches import pauses
from cacheops.reading.options import bypassed

View = Callable[..., HttpResponse]

HOME = "admin:cacheops_panel_changelist"
LATEST = 5  # actions shown on the home page


def allowed(request: HttpRequest, permission: str) -> bool:
    return bool(request.user.has_perm(f"cacheops.{permission}"))


def is_part(request: HttpRequest) -> bool:
    """Return whether htmx asks for the part that changes, not for the page."""
    return request.headers.get("HX-Request") == "true"


class PanelViews:
    """The panel's pages within one admin site."""

    def __init__(self, site: AdminSite) -> None:
        self.site = site

    def urls(self) -> list[URLPattern]:
        return [
            path("", self.page(self.home), name="cacheops_panel_changelist"),
            path("models/", self.page(self.models), name="cacheops_panel_models"),
            path("models/entries/", self.page(self.entries), name="cacheops_panel_entries"),
            path("look-up/", self.page(self.look_up), name="cacheops_panel_look_up"),
            path("actions/", self.page(self.actions), name="cacheops_panel_actions"),
            path("actions/<slug:slug>/", self.page(self.action, ("GET", "POST")), name="cacheops_panel_action"),
            path("regions/<str:name>/", self.page(self.region), name="cacheops_panel_region"),
        ]

    def page(self, view: View, methods: tuple[str, ...] = ("GET",)) -> View:
        """Return a view for staff with the permission to look; others get 403, or are asked to sign in."""

        @functools.wraps(view)
        def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
            if not allowed(request, "view_panel"):
                raise PermissionDenied
            if request.method not in (*methods, "HEAD"):
                return HttpResponseNotAllowed(methods)
            # The panel's own reads are not counted, and never outdated; an action may fill what it reads.
            with nullcontext() if request.method == "POST" else bypassed():
                response = view(request, **arguments)
                if isinstance(response, TemplateResponse):
                    response.render()
            add_never_cache_headers(response)
            patch_vary_headers(response, ["HX-Request"])
            return response

        inside = self.site.admin_view(guarded)

        def view_or_reload(request: HttpRequest, **arguments: str) -> HttpResponse:
            if is_part(request) and not self.site.has_permission(request):
                # A part must not be replaced by the page to sign in: the browser loads the whole page.
                return HttpResponse(status=204, headers={"HX-Refresh": "true"})
            return inside(request, **arguments)

        return view_or_reload

    def render(self, request: HttpRequest, name: str, title: str, context: dict[str, Any]) -> TemplateResponse:
        """Return the page `name`.html, or its part (`name`_part.html) where htmx asks."""
        shared = {"pauses": pauses(), "may": may(request), "local_region": conf.local_region, **context}
        if is_part(request):
            return TemplateResponse(request, f"cacheops/panel/{name}_part.html", shared)
        page = {
            **self.site.each_context(request),
            "title": title,
            "tabs": tabs(request, title),
            "htmx": htmx_source(),
            **shared,
        }
        request.current_app = self.site.name
        return TemplateResponse(request, f"cacheops/panel/{name}.html", page)

    # --- pages to look at ---------------------------------------------------------------------------------------------

    def home(self, request: HttpRequest) -> HttpResponse:
        found = overview.home()
        context = {
            "cards": found.cards,
            "write_behind": found.write_behind,
            "runs": found.runs,
            "replicas": found.replicas,
            "followers": found.followers,
            "relays": found.relays,
            "log": latest_actions(),
        }
        return self.render(request, "home", "Cache", context)

    def region(self, request: HttpRequest, name: str) -> HttpResponse:
        if name not in conf.regions:
            raise Http404(f"There is no region {name}.")
        span = request.GET.get("span", "1h")
        if span not in region_page.SPANS:
            span = "1h"
        context = {
            "region": region_page.region_page(name, span, request.user),
            "span": span,
            "spans": {code: label for code, (label, _) in region_page.SPANS.items()},
            "breaker": own_state(name),
        }
        return self.render(request, "region", f"Region {name}", context)

    def models(self, request: HttpRequest) -> HttpResponse:
        region, span = request.GET.get("region", conf.local_region), request.GET.get("span", "24h")
        if region not in conf.regions:
            raise Http404(f"There is no region {region}.")
        if span not in models_page.SPANS:
            span = "24h"
        context = {
            "table": models_page.model_table(region, models_page.SPANS[span][1]),
            "region": region,
            "regions": conf.regions,
            "span": span,
            "spans": {code: label for code, (label, _) in models_page.SPANS.items()},
        }
        return self.render(request, "models", "Models", context)

    def entries(self, request: HttpRequest) -> HttpResponse:
        given = {"region": conf.local_region, **request.GET.dict()}
        form = EntriesForm(given if "model" in given else None, initial=given)
        context: dict[str, Any] = {"form": form}
        if form.is_valid():
            try:
                context["found"] = entries_page.entries_of(**form.cleaned_data)
            except StoreError as error:
                context["away"] = f"{form.cleaned_data['region']} does not answer: {error}"
        return self.render(request, "entries", "Entries", context)

    def look_up(self, request: HttpRequest) -> HttpResponse:
        asked = any(request.GET.get(name) for name in ("model", "pk", "key"))
        form = LookUpForm({"region": conf.local_region, **request.GET.dict()} if asked else None)
        if not asked:
            form.initial = {"region": conf.local_region}
        context: dict[str, Any] = {"form": form}
        if asked and form.is_valid():
            data = form.cleaned_data
            try:
                if data["key"]:
                    context["found"] = look_up_keys(data["region"], data["key"], request.user)
                elif data["operation"] and not data["pk"]:
                    query = data["model"], data["where"], data["operation"]
                    context["found"] = look_up_query(data["region"], *query)
                else:
                    context["found"] = look_up_row(data["region"], data["model"], data["pk"], request.user)
                    context["row"] = {"model": data["model"]._meta.label_lower, "pk": data["pk"]}
            except InvalidKey as error:
                form.add_error(None, str(error))
            except StoreError as error:
                context["away"] = f"{data['region']} does not answer: {error}"
        return self.render(request, "look_up", "Look up", context)

    def actions(self, request: HttpRequest) -> HttpResponse:
        found = [action for action in ACTIONS.values() if allowed(request, action.permission)]
        return self.render(request, "actions", "Actions", {"actions": found, "log": latest_actions()})

    # --- what changes something ---------------------------------------------------------------------------------------

    def action(self, request: HttpRequest, slug: str) -> HttpResponse:
        """GET shows the form, or with its values what will happen; POST does it."""
        action = ACTIONS.get(slug)
        if action is None:
            raise Http404(f"There is no action {slug}.")
        if not allowed(request, action.permission):
            raise PermissionDenied
        if request.method == "POST":
            form = action.form(request.POST)
            if form.is_valid():
                return self.perform(request, action, form.cleaned_data)
        else:
            # An empty form is not filled in yet; one without fields needs nothing.
            given = bool(request.GET) or not action.form.base_fields
            form = action.form(request.GET if given else None, initial=None)
        context = {"action": action, "form": form, "confirm": form.is_bound and form.is_valid()}
        if context["confirm"]:
            context["effects"] = action.effects_of(form.cleaned_data)
            context["values"] = {name: form.data.get(name, "") for name in form.fields}
        return self.render(request, "action", action.title, context)

    def perform(self, request: HttpRequest, action: Action, data: dict[str, Any]) -> HttpResponse:
        who = request.user.get_username()
        try:
            done = action.call(data, who)
        except CacheopsError as error:
            log(request, action, data, f"Failed: {error}")
            messages.error(request, f"Nothing was done: {error}")
        else:
            log(request, action, data, done.text)
            messages.add_message(request, messages.SUCCESS if done.complete else messages.WARNING, done.text)
        answers.forget()
        return HttpResponseRedirect(reverse(HOME, current_app=self.site.name))


def log(request: HttpRequest, action: Action, data: dict[str, Any], text: str) -> None:
    """Write an action into the admin log."""
    LogEntry.objects.create(
        user=request.user,  # type: ignore[misc]  # who passed the permission is signed in
        content_type=ContentType.objects.get_for_model(Panel),
        object_id=action.slug,
        object_repr=f"{action.title}: {action.subject_of(data)}"[:200],
        action_flag=CHANGE,
        change_message=text,
    )


def latest_actions() -> list[LogEntry]:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Panel))
    return list(entries.select_related("user").order_by("-action_time")[:LATEST])


def may(request: HttpRequest) -> dict[str, bool]:
    """Return which actions a person may take, by permission."""
    return {action.permission: allowed(request, action.permission) for action in ACTIONS.values()}


def own_state(name: str) -> str:
    """Return the state of this process's circuit of a region."""
    try:
        return own_breakers()[name].value.replace("_", " ")
    except StoreError:  # a cluster that was never reached
        return "open"


def htmx_source() -> str:
    """Return the static file of htmx to load; "" where the admin's theme has loaded it, or none is installed."""
    if "unfold" in settings.INSTALLED_APPS or not apps.is_installed("django_htmx"):
        return ""
    return "django_htmx/htmx-2.min.js"


def tabs(request: HttpRequest, current: str) -> list[dict[str, Any]]:
    """Return the panel's own navigation."""
    links = [("Cache", "Overview", reverse(HOME))]
    links += [(f"Region {name}", name, reverse("admin:cacheops_panel_region", args=[name])) for name in conf.regions]
    links += [("Models", "Models", reverse("admin:cacheops_panel_models"))]
    links += [("Look up", "Look up", reverse("admin:cacheops_panel_look_up"))]
    if any(may(request).values()):
        links.append(("Actions", "Actions", reverse("admin:cacheops_panel_actions")))
    titles = {action.title for action in ACTIONS.values()}
    shown = "Actions" if current in titles else "Models" if current == "Entries" else current
    return [{"label": label, "url": url, "current": title == shown} for title, label, url in links]
