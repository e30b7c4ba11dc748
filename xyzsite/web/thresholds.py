"""Pages: thresholds, and what is beyond them; for those who may set them, a new one, its change and its end."""

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from devices import thresholds as service
from devices.excursions import excursions_at
from devices.models import Threshold
from locations.selectors import managed_by, visible_location_ids
from xyzsite.paging import page_of
from xyzsite.web.forms import ThresholdForm
from xyzsite.web.http import PageRequest, page_number, render_part
from xyzsite.web.live import live
from xyzsite.web.operations import for_forms


@require_safe
@live
def thresholds(request: PageRequest) -> HttpResponse:
    user = request.user
    page = page_of(service.thresholds_for(user), page_number(request))
    places = frozenset(managed_by(user).values_list("pk", flat=True))
    context = {
        "page": page,
        "rows": [(each, user.is_staff or each.location_id in places) for each in page],
        "settable": user.is_staff or bool(places),
        "beyond": excursions_at(None if user.is_staff else visible_location_ids(user), timezone.now()),
    }
    return render_part(request, "thresholds/list.html", "thresholds/_rows.html", "thresholds", context)


@for_forms
def new_threshold(request: PageRequest) -> HttpResponse:
    service.require_setter_anywhere(request.user)
    return threshold_form(request, None)


@for_forms
def change_threshold(request: PageRequest, pk: int) -> HttpResponse:
    threshold = visible_or_404(request, pk)
    service.require_setter(request.user, threshold.location)
    return threshold_form(request, threshold)


@require_POST
def delete_threshold(request: PageRequest, pk: int) -> HttpResponse:
    threshold = visible_or_404(request, pk)
    service.delete_threshold(threshold, by=request.user)
    messages.success(request, f"The threshold of {threshold} is deleted.")
    return redirect("thresholds")


def threshold_form(request: PageRequest, threshold: Threshold | None) -> HttpResponse:
    """Show the form of a threshold, None for a new one; store what it sends."""
    name = str(threshold)  # as it is: the form writes to its instance
    form = ThresholdForm(request.POST or None, user=request.user, instance=threshold)
    if form.is_valid():
        try:
            if threshold is None:
                stored = service.create_threshold(by=request.user, **form.cleaned_data)
            else:
                stored = service.change_threshold(threshold, by=request.user, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(request, f"The threshold of {stored} is stored.")
            return redirect("thresholds")
    context = {"form": form, "threshold": threshold, "name": name, "sends_email": settings.XYZ_SENDS_EMAIL}
    return render(request, "thresholds/form.html", context, status=422 if form.errors else 200)


def visible_or_404(request: PageRequest, pk: int) -> Threshold:
    threshold = service.thresholds_for(request.user).filter(pk=pk).first()
    if threshold is None:
        raise Http404("There is no such threshold.")
    return threshold
