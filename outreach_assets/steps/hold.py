"""A state that must not be published: its rows kept aside for people to look at.

What makes a state held is in kill_switches.py. Readers never open what lies here, and publishing
the state removes it.
"""

from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import ObjectStore, Upload, put_files
from outreach_assets.steps.manifest import Manifest


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


def let_go(store: ObjectStore, held: tuple[str, ...]) -> None:
    """Remove what is kept aside, the receipts first."""
    for key in sorted(held, key=lambda key: not key.endswith(".json")):
        store.delete(key)
