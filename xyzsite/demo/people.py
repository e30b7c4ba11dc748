"""Who may sign in to the demo, and what they see."""

from collections.abc import Sequence
from dataclasses import dataclass

from locations.models import Location, Membership, Role
from users.models import Region, User

EMAIL_DOMAIN = "example.com"


@dataclass(frozen=True)
class Login:
    """A demo person. The passwords are public: they are set on a developer's machine, or when asked for."""

    username: str
    password: str
    first_name: str
    last_name: str
    home_region: Region
    role: Role | None  # None: staff, who see and do everything
    places: Sequence[str] = ()  # codes of locations

    @property
    def duties(self) -> str:
        """What this person may do, in a few words."""
        if self.role is None:
            return "administers everything"
        return f"{self.role.label.lower()} at {len(self.places)} locations"


DEMO_LOGINS = (
    Login("admin", "demo-admin", "Alex", "Rivera", Region.US_EAST_1, None),
    Login(
        "manager",
        "demo-manager",
        "Maya",
        "Chen",
        Region.US_EAST_1,
        Role.MANAGER,
        ("new-york-battery-park", "boston-seaport", "washington-navy-yard", "miami-brickell"),
    ),
    Login(
        "operator",
        "demo-operator",
        "Omar",
        "Haddad",
        Region.US_WEST_2,
        Role.OPERATOR,
        ("seattle-ballard", "denver-rino", "phoenix-roosevelt-row"),
    ),
    Login(
        "viewer",
        "demo-viewer",
        "Vera",
        "Novak",
        Region.US_EAST_2,
        Role.VIEWER,
        ("columbus-franklinton", "chicago-pilsen", "detroit-corktown"),
    ),
)


def add_people(with_logins: bool) -> list[Login]:
    """Make the people who are not there yet; return those. Without logins they have no password and can not sign in.

    A person who could not sign in so far is given the password once logins are asked for, and is returned too.
    """
    return [login for login in DEMO_LOGINS if add_person(login, with_logins)]


def add_person(login: Login, with_logins: bool) -> bool:
    user, created = User.objects.get_or_create(
        username=login.username,
        defaults={
            "first_name": login.first_name,
            "last_name": login.last_name,
            "email": f"{login.username}@{EMAIL_DOMAIN}",
            "home_region": login.home_region,
            "is_staff": login.role is None,
            "is_superuser": login.role is None,
            "password": "!",  # unusable, as in User.set_unusable_password
        },
    )
    if created and login.role is not None:
        places = Location.objects.filter(code__in=login.places)
        Membership.objects.bulk_create(Membership(user=user, location=place, role=login.role) for place in places)
    changed = with_logins and not user.has_usable_password() and user.email == f"{login.username}@{EMAIL_DOMAIN}"
    if changed:
        user.set_password(login.password)
        user.save(update_fields=["password"])
    return created or changed
