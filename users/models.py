"""People: a user with a home region, and the tokens with which their programs call the API."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, ClassVar, Self

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models, transaction
from django.utils import timezone

from cacheops import CachedQuerySet


class Region(models.TextChoices):
    """The regions in which the platform runs; the values are those of settings.XYZ_REGIONS."""

    US_EAST_1 = "us-east-1", "US East (N. Virginia)"
    US_WEST_2 = "us-west-2", "US West (Oregon)"
    US_EAST_2 = "us-east-2", "US East (Ohio)"


class PeopleQuerySet(CachedQuerySet["User"]):
    def update(self, **values: Any) -> int:
        """Update; people who are deactivated so lose their tokens, as by `User.save`."""
        self._for_write = True  # as Django's does: `db` is the primary from here on
        with transaction.atomic(using=self.db):
            updated = super().update(**values)
            if "is_active" in values:
                ApiToken.objects.using(self.db).filter(user__is_active=False).active().expire()
        return updated


class PeopleManager(UserManager.from_queryset(PeopleQuerySet)):  # type: ignore[misc]
    """Django's manager of users, whose querysets can say how they are cached."""


class User(AbstractUser):
    """A person, or a device fleet's service account."""

    home_region = models.CharField(max_length=16, choices=Region, default=Region.US_EAST_1)

    objects: ClassVar[PeopleManager] = PeopleManager()

    class Meta(AbstractUser.Meta):
        base_manager_name = "objects"  # of which foreign keys make their querysets: they take its short path

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def password_fingerprint(self) -> str:
        """Return the SHA-256 of what is stored of the password: it changes with the password, and keeps it secret."""
        return hashlib.sha256(self.password.encode()).hexdigest()

    def save(self, *args: Any, **options: Any) -> None:
        """Save; a person who is not active has no tokens that would be valid again once they are."""
        with transaction.atomic(using=options.get("using")):
            super().save(*args, **options)
            if not self.is_active:
                self.api_tokens.active().expire()

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether it is the password. Tokens outlive a new hash of the same password (newer Django, say)."""
        before = self.password_fingerprint
        with transaction.atomic():
            is_right = super().check_password(raw_password)
            after = self.password_fingerprint
            if after != before:
                self.api_tokens.filter(password_fingerprint=before).update(password_fingerprint=after)
        return is_right

    async def acheck_password(self, raw_password: str | None) -> bool:
        return await sync_to_async(self.check_password)(raw_password)


class ApiTokenQuerySet(CachedQuerySet["ApiToken"]):
    def active(self) -> Self:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now()))

    def expire(self) -> int:
        """End these tokens now; return how many."""
        return self.update(expires_at=timezone.now())


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 digest is stored: the secret is shown once, when it is made.

    It ends at `expires_at`, and with the password that its owner had when it was made.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # With a default in the database, as an older version that runs beside this one knows no such column.
    password_fingerprint = models.CharField(max_length=64, db_default="", editable=False)
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
    def is_valid(self) -> bool:
        """Return whether it may be used: it has not expired, and its owner is active, with the same password."""
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return not expired and self.user.is_active and self.password_fingerprint == self.user.password_fingerprint

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()

    @classmethod
    def issue(cls, user: User, name: str, expires_at: datetime | None = None) -> tuple["ApiToken", str]:
        """Make a token; return it and its secret, which is nowhere stored."""
        secret = f"xyz_{secrets.token_urlsafe(32)}"
        token = cls.objects.create(
            user=user,
            name=name,
            digest=cls.digest_of(secret),
            password_fingerprint=user.password_fingerprint,
            expires_at=expires_at,
        )
        return token, secret
