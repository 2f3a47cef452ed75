"""What the store holds of many states, when it answers and when it does not."""

from collections.abc import Iterator
from pathlib import Path

from b2_resources.local_store import LocalStore
from b2_resources.object_store import StoredObject, StoreUnreachableError
from outreach_assets.steps.published import WORKERS, InStore, look_at
from outreach_core.states import ALL_STATES


class Away(LocalStore):
    """A folder that cannot be reached, which counts who tries."""

    asked = 0

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        self.asked += 1
        raise StoreUnreachableError(f"{prefix}: cannot be reached")


def test_a_store_that_is_away_is_not_asked_for_every_state(tmp_path: Path) -> None:
    store = Away(tmp_path)
    found = look_at(store, ALL_STATES)
    assert {type(one) for one in found.values()} == {StoreUnreachableError}
    assert list(found) == list(ALL_STATES)
    assert store.asked <= WORKERS


def test_a_store_without_anything_holds_nothing_of_any_state(tmp_path: Path) -> None:
    nothing = InStore(versions=frozenset(), orphans=(), held=())
    assert look_at(LocalStore(tmp_path), ("PA", "WV")) == {"PA": nothing, "WV": nothing}
