"""The newest manifest has nothing after it in its chain: the audit log vouches for it."""

import pytest

from outreach_assets.steps.manifest import all_manifests
from outreach_assets.steps.snapshots.verify import Verifier, verify_states
from outreach_core.audit import published_manifests
from tests.given import a_company, a_duck, given_rows
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand


def problems(chain: ChainAtHand) -> tuple[str, ...]:
    verifier = Verifier(
        store=chain.store,
        folder=chain.home / "spill",
        open_duck=lambda: a_duck(chain.home),
        audited=published_manifests(chain.postgres),
    )
    [found] = verify_states(verifier, ["WV"])
    return found.problems


@pytest.mark.slow
def test_a_newest_manifest_that_says_of_another_run_is_found(chain: ChainAtHand) -> None:
    given_rows(chain.postgres, [a_company()])
    chain.run(["WV"])
    assert problems(chain) == ()
    [manifest] = all_manifests(chain.store, "WV")
    forged = manifest.model_copy(update={"run_id": "another"})
    chain.store.put_bytes(manifest.key, forged.body)
    [problem] = problems(chain)
    assert manifest.key in problem
    assert "the audit log" in problem
    # What was changed does not become right by a run that finds nothing new.
    chain.run(["WV"])
    assert problems(chain) == (problem,)
