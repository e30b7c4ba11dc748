"""Who calls the API: the owner of a bearer token, or a person signed in to the pages."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.middleware import get_user
from django.db import DEFAULT_DB_ALIAS, Error
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from cacheops.regions.database_away import away_databases, is_away
from users.models import ApiToken, User
from xyzsite.api.errors import BEARER_CHALLENGE, ApiError
from xyzsite.throttling.limits import Limit

# `last_used_at` shows an owner which tokens are idle; a write with every call would cost more than the call.
LAST_USED_STEP = timedelta(minutes=1)


class ApiRequest(HttpRequest):
    """A request that has passed an authenticator."""

    auth: User


class BearerToken(HttpBearer):
    """`Authorization: Bearer <token>`. A header that is wrong is refused, whatever the session says."""

    def __call__(self, request: HttpRequest) -> User | None:
        header = request.headers.get(self.header)
        if not header:
            return None
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != self.openapi_scheme:
            raise ApiError(401, "The Authorization header must read `Bearer <token>`.")
        return self.authenticate(request, secret.strip())

    def authenticate(self, request: HttpRequest, token: str) -> User:
        found = token_of(token)
        if found is None or not found.is_valid:
            raise ApiError(
                401,
                "This token is unknown or has ended: make a new one on your profile.",
                headers={"WWW-Authenticate": f'{BEARER_CHALLENGE}, error="invalid_token"'},
            )
        check_rate(f"token {found.digest}")
        if note_use(found):
            token_of(token)  # or the cache would not know it, should the database go away
        request.user = found.user
        return found.user


def check_rate(caller: str) -> None:
    """Count a call. Raise ApiError, 429, for one too many in this minute."""
    seconds = Limit("api", settings.XYZ_API_CALLS_PER_MINUTE, 60).add(caller)
    if seconds:
        raise ApiError(
            429,
            f"This caller may call {settings.XYZ_API_CALLS_PER_MINUTE:,} times a minute: call again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def token_of(secret: str) -> ApiToken | None:
    """Return the token with its user. Its end is not judged by the query: one that holds a moment is always another."""
    return ApiToken.objects.select_related("user").filter(digest=ApiToken.digest_of(secret)).first()


def note_use(token: ApiToken) -> bool:
    """Write `last_used_at`, at most once in LAST_USED_STEP, whichever of many callers comes first; return whether."""
    now = timezone.now()
    if token.last_used_at is not None and token.last_used_at > now - LAST_USED_STEP:
        return False
    if not away_databases.may_ask(DEFAULT_DB_ALIAS):
        return False
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_STEP)
    try:
        return bool(ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now))
    except Error as error:
        if not is_away(error):
            raise
        # The call may be answered all the same, of what a replica shows; a later one notes its use.
        away_databases.is_served_without(DEFAULT_DB_ALIAS, error)
        return False


class Session(APIKeyCookie):
    """The cookie of a person signed in to the pages; unsafe methods need the `X-CSRFToken` header too."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        # django-ninja checks CSRF before it knows of a session, and so would answer 403 to those who must get 401.
        user = get_user(request)  # without the proxy that `request.user` is: each attribute would pass it
        if not isinstance(user, User):
            return None
        if check_csrf(request) is not None:
            raise ApiError(403, "The CSRF token is missing or wrong: send the csrftoken cookie's value as X-CSRFToken.")
        check_rate(f"person {user.pk}")
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return self(request)
