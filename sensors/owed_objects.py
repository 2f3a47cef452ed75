"""What an outage kept from the bucket of a hybrid store, brought there when it is back."""

from collections.abc import Mapping

import dagster as dg

from b2_resources.hybrid_store import HybridStore
from b2_resources.resource import B2Resource
from outreach_assets.resources import NeonResource
from outreach_core.audit import SOURCE, STORE_RECONCILED, AuditEvent, open_log, write_event


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings to a hybrid store's bucket what an outage kept from it. On at first: it "
    "asks no server while nothing is owed.",
)
def owed_objects_sensor(b2: B2Resource, neon: NeonResource) -> dg.SkipReason:
    """Reconcile, as `outreach store reconcile` does; asks no server while nothing is owed."""
    store = b2.create_store()
    if not isinstance(store, HybridStore) or not store.owed():
        return dg.SkipReason("nothing is owed to a bucket")
    done = store.reconcile()
    if done.put or done.deleted:
        _tell(neon, {**vars(done), "failed": len(done.failed)})
    if done.failed:
        names = ", ".join(list(done.failed)[:5])
        raise RuntimeError(f"the bucket refused {len(done.failed)} objects, the first: {names}")
    return dg.SkipReason(f"put {done.put}, deleted {done.deleted}, still owed {done.left}")


def _tell(neon: NeonResource, counts: Mapping[str, object]) -> None:
    details = {"who": "sensor owed_objects_sensor", **counts}
    with open_log(neon.open()) as connection:
        write_event(
            connection,
            AuditEvent(event_type=STORE_RECONCILED, event_source=SOURCE, details=details),
        )
