"""For all tests: nobody's own settings reach them, or one would work on a real database."""

import os

from hypothesis import HealthCheck, settings

OURS = ("NEON_", "B2_", "OUTREACH_", "STORAGE_MODE", "DAGSTER_")
KEPT = {"OUTREACH_MUST_TEST", "OUTREACH_PICTURES"}

for name in set(os.environ) - KEPT:
    if name.upper().startswith(OURS):
        del os.environ[name]
os.environ["PYTHON_DOTENV_DISABLED"] = "1"  # inherited by the programs that tests start

# Others use this machine too: how long an example takes says nothing.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
