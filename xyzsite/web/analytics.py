"""Analytics: a metric over a window, for a location or a kind of device; as a page and as CSV."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from functools import cache, partial

from django.http import HttpResponse, HttpResponseBadRequest
from django.views.decorators.http import require_safe

from analytics.figures import Bucket
from analytics.percentiles import percentiles_of
from analytics.series import Line, chart, title_of
from analytics.summaries import AnalyticsSummary, Question, analytics_summary, selected
from analytics.windows import Window
from devices.metrics import METRICS
from devices.spans import SPANS
from locations.selectors import locations_for
from xyzsite.web.filters import AnalyticsForm, typed
from xyzsite.web.formats import resolved
from xyzsite.web.http import PageRequest, kept, render_part
from xyzsite.web.live import live

CSV_COLUMNS = (
    "start",
    "metric",
    "unit",
    "average",
    "minimum",
    "maximum",
    "readings",
    "devices",
    "time_average",
    "amount",
)
VALUES = ("average", "minimum", "maximum", "time_average", "amount")


@require_safe
@live
@kept
def analytics(request: PageRequest) -> HttpResponse:
    form, question = asked(request)
    summary = analytics_summary(question)
    window = summary.window
    figures = {row.location_id: row for row in summary.locations}
    lines = lines_over(form, question, summary)
    context = {
        "form": form,
        "spans": SPANS.values(),
        "span": window.span,
        "window": window,
        "typed": typed(form, window),
        "kept": [("window", question.span.code), *kept_range(request)],
        "metric": METRICS.get(summary.metric),
        "summary": summary,
        "earlier": window.earlier(),
        "up_to": summary.up_to,
        "later": window.later() if summary.newest and window.end <= summary.newest else None,
        "locations": [(place, figures[place.pk]) for place in form.locations.values() if place.pk in figures],
        "buckets": summary.buckets[::-1],
        "title": title_of(summary.metric),
        "chart": cache(partial(chart, summary.buckets, window, summary.metric, lines)),  # drawn where it is not kept
        "lines": lines,
        "percentiles": percentiles_of(question, summary) if form.shown == "percentiles" else {},
        "compared": bool(question.compared),
    }
    return render_part(request, "analytics/page.html", "analytics/_results.html", "results", context)


def lines_over(form: AnalyticsForm, question: Question, summary: AnalyticsSummary) -> list[Line]:
    """Return what is drawn over the chart's own line: another metric in the same window, or the locations by name."""
    if second := form.other(summary.metric):
        selection = replace(question.selection, metric=second)
        found = selected(selection, summary.window, summary.made_at)
        return [Line(METRICS[second].label, second, found.buckets)]
    named = {place.pk: str(place) for place in form.locations.values()}
    lines = [Line(named[pk], summary.metric, buckets) for pk, buckets in summary.by_location.items() if pk in named]
    return sorted(lines, key=lambda line: line.label)


def kept_range(request: PageRequest) -> list[tuple[str, str]]:
    """Return what a change of the filter leaves as it is: the time that is shown."""
    return [(name, request.GET[name]) for name in ("until", "from", "to") if request.GET.get(name)]


@require_safe
def analytics_csv(request: PageRequest) -> HttpResponse:
    """Answer with the window's buckets. Times are ISO 8601 with the offset of the location's clock.

    Values have the metric's resolution (xyzsite.web.formats.resolved).
    """
    form, question = asked(request)
    if form.errors:
        text = "\n".join(f"{name}: {error}" for name, error in form.wrong.items())
        return HttpResponseBadRequest(text, content_type="text/plain; charset=utf-8")
    summary = analytics_summary(question)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"{summary.metric}-{summary.span}-{summary.window.end.astimezone(UTC):%Y%m%dT%H%MZ}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    rows = csv.writer(response)
    rows.writerow(CSV_COLUMNS)
    rows.writerows(csv_rows(summary.metric, summary.buckets, summary.window))
    for line in lines_over(form, question, summary):
        if line.metric != summary.metric:  # compared locations have no column here
            rows.writerows(csv_rows(line.metric, line.buckets, summary.window))
    return response


def csv_rows(metric: str, buckets: Sequence[Bucket], window: Window) -> Iterator[tuple[object, ...]]:
    """Yield a row a bucket."""
    unit = METRICS[metric].unit if metric in METRICS else "devices"
    summed = metric in METRICS and METRICS[metric].summed
    for bucket in buckets:
        start = bucket.start.astimezone(window.zone).isoformat()
        average, low, high, over_time, amount = (resolved(getattr(bucket, name), metric) for name in VALUES)
        counts = (bucket.count, bucket.devices, over_time, amount if summed else "")
        yield (start, metric, unit, average, low, high, *counts)


def asked(request: PageRequest) -> tuple[AnalyticsForm, Question]:
    """Return the form, filled from the query string, and the question within what the user may see."""
    locations = list(locations_for(request.user))
    form = AnalyticsForm(request.GET, locations=locations)
    return form, form.question(everywhere=request.user.is_staff)
