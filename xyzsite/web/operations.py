"""Pages on which operators and managers work: a new device, a device's change, the status of several devices."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST

from devices import changes
from devices.models import Device, Status
from locations.models import Role
from locations.selectors import managed_by, require_role, role_at
from xyzsite.web import devices, locations
from xyzsite.web.forms import DeviceForm, NewDeviceForm
from xyzsite.web.http import PageRequest

for_forms = require_http_methods(["GET", "HEAD", "POST"])


@for_forms
def new_device(request: PageRequest, code: str) -> HttpResponse:
    place = locations.visible_or_404(request, code)
    require_role(request.user, place, Role.MANAGER)
    form = NewDeviceForm(request.POST or None)
    if form.is_valid():
        try:
            made = changes.create_device(place, by=request.user, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            return done(request, made, f"{made} is a device of {place} now.")
    return render_form(request, form, {"location": place})


@for_forms
def change_device(request: PageRequest, serial: str) -> HttpResponse:
    device = devices.visible_or_404(request, serial)
    require_role(request.user, device.location, Role.OPERATOR)
    is_manager = role_at(request.user, device.location) is Role.MANAGER
    form = DeviceForm(request.POST or None, device=device, places=managed_by(request.user) if is_manager else None)
    if form.is_valid():
        try:
            changed = changes.change_device(device, by=request.user, **form.changes())
        except ValidationError as error:
            form.refuse(error)
        else:
            return done(request, changed, f"{changed} is changed." if form.has_changed() else "Nothing was changed.")
    return render_form(request, form, {"location": device.location, "device": device, "is_manager": is_manager})


def done(request: PageRequest, device: Device, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return redirect("device", device.serial)


def render_form(request: PageRequest, form: DeviceForm | NewDeviceForm, context: dict[str, object]) -> HttpResponse:
    status = 422 if form.is_bound and not form.is_valid() else 200
    return render(request, "devices/form.html", context | {"form": form}, status=status)


@require_POST
def change_statuses(request: PageRequest, code: str) -> HttpResponse:
    """Give the devices that are ticked in a location's list one status, and lead back to the list."""
    place = locations.visible_or_404(request, code)
    serials = [serial for serial in request.POST.getlist("serial") if serial.isprintable()]
    status = request.POST.get("status")
    if not serials or status not in Status.values:
        messages.error(request, "Tick the devices, and choose the status that they shall have.")
    else:
        count = changes.change_statuses(place, serials, Status(status), by=request.user)
        noun = "1 device has" if count == 1 else f"{count} devices have"
        messages.success(request, f"{noun} another status now: {Status(status).label.lower()}.")
    query = QueryDict(request.POST.get("query", "")).urlencode()
    return redirect(resolve_url("location", place.code) + (f"?{query}" if query else ""))
