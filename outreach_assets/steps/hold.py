"""A state that must not be published: its rows kept aside for people to look at.

What makes a state held is in kill_switches.py. Readers never open what lies here, and publishing
the state removes it.
"""

from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import ObjectStore, Upload, get_bytes, put_files
from outreach_assets.steps.manifest import Manifest, read_manifest


def set_aside(store: ObjectStore, exports: Path, manifest: Manifest, older: tuple[str, ...]) -> str:
    """Put a held version, which lies under exports/, beside the published ones.

    The receipt comes last. `older` are the keys of versions held before, which this one replaces.
    Returns the receipt's key.
    """
    marks = {"state": manifest.state, "version": manifest.version, "run-id": manifest.run_id}
    receipt = keys.held_manifest_key(manifest.state, manifest.version)
    uploads = [
        Upload(
            key=keys.held_key(manifest.state, manifest.version, file.table, file.verdict),
            path=exports / file.key,
            metadata=marks,
            sha256=file.sha256,
        )
        for file in manifest.files
    ]
    put_files(store, uploads, workers=len(uploads))
    store.put_bytes(receipt, manifest.body, metadata=marks)
    let_go(store, tuple(set(older) - {receipt, *(upload.key for upload in uploads)}))
    return receipt


def held_manifest(store: ObjectStore, state: str) -> Manifest | None:
    """The receipt of what is kept aside, its files named where they lie now; None without one.

    Raises ManifestUnreadableError and what the store raises.
    """
    found = [stored.key for stored in store.list_objects(keys.held_prefix(state))]
    receipt = max((key for key in found if key.endswith(".json")), default=None)
    if receipt is None:
        return None
    manifest = read_manifest(get_bytes(store, receipt), store.place_of(receipt))
    files = tuple(
        file.model_copy(
            update={"key": keys.held_key(state, manifest.version, file.table, file.verdict)}
        )
        for file in manifest.files
    )
    return manifest.model_copy(update={"files": files, "changes": None})


def let_go(store: ObjectStore, held: tuple[str, ...]) -> None:
    """Remove what is kept aside, the receipts first."""
    for key in sorted(held, key=lambda key: not key.endswith(".json")):
        store.delete(key)
