"""A person's own pages: signing in, details, password, tokens."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.forms import BaseForm
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from users.models import ApiToken, User
from xyzsite.web.forms import PasswordForm, ProfileForm, SignInForm, TokenForm
from xyzsite.web.http import PageRequest


class SignIn(LoginView):
    template_name = "sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


@never_cache  # it may show a token's secret
def profile(request: PageRequest) -> HttpResponse:
    """Show a person's own data, and take what one of the page's forms sends."""
    forms: dict[str, BaseForm] = {
        "details": ProfileForm(instance=request.user),
        "password": PasswordForm(request.user),
        "token": TokenForm(),
    }
    save = {"details": save_details, "password": save_password, "token": issue_token}
    action = request.POST.get("action", "")
    if request.method == "POST" and action in save:
        answer = save[action](request, forms)
        if answer is not None:
            return answer
    return render_profile(request, forms)


def render_profile(request: PageRequest, forms: dict[str, BaseForm], **extra: Any) -> HttpResponse:
    memberships = request.user.memberships.select_related("location").order_by("location__name")
    context = {
        "forms": forms,
        "memberships": memberships,
        "tokens": request.user.api_tokens.all(),
    }
    invalid = any(form.is_bound and not form.is_valid() for form in forms.values())
    return render(request, "profile.html", context | extra, status=422 if invalid else 200)


def save_details(request: PageRequest, forms: dict[str, BaseForm]) -> HttpResponse | None:
    # A copy is changed, so that a rejected name is not shown in the page's head as if it had been taken.
    user = User.objects.get(pk=request.user.pk)
    form = forms["details"] = ProfileForm(request.POST, instance=user)
    if not form.is_valid():
        return None
    form.save()
    messages.success(request, "Your details are saved.")
    return redirect("profile")


def save_password(request: PageRequest, forms: dict[str, BaseForm]) -> HttpResponse | None:
    form = forms["password"] = PasswordForm(request.user, request.POST)
    if not form.is_valid():
        return None
    update_session_auth_hash(request, form.save())
    messages.success(request, "Your password is changed. Other browsers are signed out, your API tokens have ended.")
    return redirect("profile")


def issue_token(request: PageRequest, forms: dict[str, BaseForm]) -> HttpResponse | None:
    form = TokenForm(request.POST)
    if not form.is_valid():
        forms["token"] = form
        return None
    token, secret = ApiToken.issue(request.user, form.cleaned_data["name"], form.expires_at())
    # Answered at once instead of after a redirect: the secret is then kept nowhere, not even in the session.
    return render_profile(request, forms, issued=token, secret=secret)


@require_POST
def revoke_token(request: PageRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(request.user.api_tokens, pk=pk)
    token.delete()
    messages.success(request, f"The token “{token}” is revoked.")
    return redirect("profile")
