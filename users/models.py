"""People: a user with a home region, and the tokens with which their programs call the API."""

import hashlib
import secrets
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.utils import timezone

from cacheops import CachedQuerySet


class Region(models.TextChoices):
    """The regions in which the platform runs; the values are those of settings.XYZ_REGIONS."""

    US_EAST_1 = "us-east-1", "US East (N. Virginia)"
    US_WEST_2 = "us-west-2", "US West (Oregon)"
    US_EAST_2 = "us-east-2", "US East (Ohio)"


class PeopleManager(UserManager.from_queryset(CachedQuerySet["User"])):  # type: ignore[misc]
    """Django's manager of users, whose querysets can say how they are cached."""


class User(AbstractUser):
    """A person, or a device fleet's service account."""

    home_region = models.CharField(max_length=16, choices=Region, default=Region.US_EAST_1)

    objects: ClassVar[PeopleManager] = PeopleManager()

    class Meta(AbstractUser.Meta):
        base_manager_name = "objects"  # of which foreign keys make their querysets: they take its short path

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class ApiTokenQuerySet(CachedQuerySet["ApiToken"]):
    def active(self) -> Self:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now()))


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 digest is stored: the secret is shown once, when it is made."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()

    @classmethod
    def issue(cls, user: User, name: str, expires_at: datetime | None = None) -> tuple["ApiToken", str]:
        """Make a token; return it and its secret, which is nowhere stored."""
        secret = f"xyz_{secrets.token_urlsafe(32)}"
        token = cls.objects.create(user=user, name=name, digest=cls.digest_of(secret), expires_at=expires_at)
        return token, secret
