"""What an outage kept from the bucket of a hybrid store, brought there when it is back."""

import dagster as dg

from b2_resources.hybrid_store import HybridStore
from b2_resources.resource import B2Resource


@dg.sensor(minimum_interval_seconds=300, default_status=dg.DefaultSensorStatus.RUNNING)
def owed_objects_sensor(b2: B2Resource) -> dg.SkipReason:
    """Reconcile, as `outreach store reconcile` does; asks no server while nothing is owed."""
    store = b2.create_store()
    if not isinstance(store, HybridStore) or not store.owed():
        return dg.SkipReason("nothing is owed to a bucket")
    done = store.reconcile()
    if done.failed:
        names = ", ".join(list(done.failed)[:5])
        raise RuntimeError(f"the bucket refused {len(done.failed)} objects, the first: {names}")
    return dg.SkipReason(f"put {done.put}, deleted {done.deleted}, still owed {done.left}")
