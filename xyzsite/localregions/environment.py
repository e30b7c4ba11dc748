"""The addresses of the servers as a process in one region sees them: its own directly, the others through links."""

from pathlib import Path
from urllib.parse import quote

from xyzsite.localregions import plan as layout
from xyzsite.localregions import postgres
from xyzsite.localregions.plan import HOST, Plan
from xyzsite.settings.regions import variable


def environment(plan: Plan, own: str) -> dict[str, str]:
    """Return the environment of a process in region `own`, as xyzsite/settings reads it."""
    values = {"XYZ_REGION": own}
    for region in layout.REGIONS:
        values |= cluster(plan, own) if region == layout.HOME else pair(plan, own, region)
    if plan.options.tls:
        values["REDIS_CA_CERTS"] = str(plan.directory / "tls" / "ca.crt")
    return values | databases(plan, own)


def cluster(plan: Plan, own: str) -> dict[str, str]:
    """Return the variables of the region in cluster mode."""
    names = [node.name for node in layout.redis_nodes() if node.kind == "cluster"]
    values = {
        variable("REDIS_URL", layout.HOME): ",".join(redis_url(plan, own, layout.HOME, name) for name in names),
        variable("REDIS_CLUSTER", layout.HOME): "true",
    }
    if own != layout.HOME:
        pairs = [f"{HOST}:{plan.port(name)}={HOST}:{port(plan, own, layout.HOME, name)}" for name in names]
        values[variable("REDIS_ADDRESS_MAP", layout.HOME)] = ",".join(pairs)
    return values


def pair(plan: Plan, own: str, region: str) -> dict[str, str]:
    """Return the variables of a region with a primary and a reader."""
    return {
        variable("REDIS_URL", region): redis_url(plan, own, region, layout.primary_endpoint(region)),
        variable("REDIS_READER_URL", region): redis_url(plan, own, region, layout.reader_endpoint(region)),
    }


def databases(plan: Plan, own: str) -> dict[str, str]:
    """Return the primary database's address; which regions have replicas, and where the region's own is."""
    if not plan.options.postgres:
        return {}
    values = {"DATABASE_URL": postgres.url(port(plan, own, layout.HOME, f"{layout.HOME}-db"))}
    if plan.options.replicas:
        values["FOLLOWER_REGIONS"] = ",".join(region for region in layout.REGIONS if region != layout.HOME)
        if own != layout.HOME:
            values["DATABASE_REPLICA_URL"] = postgres.url(plan.port(f"{own}-db"))
    return values


def port(plan: Plan, own: str, region: str, endpoint: str) -> int:
    """Return the port at which region `own` reaches an endpoint."""
    return plan.port(endpoint if own == region else layout.link(own, endpoint))


def redis_url(plan: Plan, own: str, region: str, endpoint: str) -> str:
    """Return the address of an endpoint, with the password."""
    scheme = "rediss" if plan.options.tls else "redis"
    secret = f":{quote(plan.options.password, safe='')}@" if plan.options.password else ""
    return f"{scheme}://{secret}{HOST}:{port(plan, own, region, endpoint)}/0"


def write_files(plan: Plan) -> None:
    """Write <region>.env for each region, which xyzsite/settings/local.py reads; it may hold the password."""
    for region in layout.REGIONS:
        file = plan.directory / f"{region}.env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in environment(plan, region).items()))


def remove_files(directory: Path) -> None:
    """Remove what write_files wrote."""
    for region in layout.REGIONS:
        (directory / f"{region}.env").unlink(missing_ok=True)
