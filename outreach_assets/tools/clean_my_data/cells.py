"""One column through the agents that work on cells: each different value once, step by step.

The steps of a value go to the log for every row that has it. Rows are never touched here: the
table `map_<place>` says what becomes of which value.
"""

from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data import text
from outreach_assets.tools.clean_my_data.agents import FORMULAS, PLAIN_TEXT, Agent
from outreach_assets.tools.clean_my_data.kinds import Kind, kind_of, meant_by
from outreach_assets.tools.clean_my_data.log import Log
from outreach_assets.tools.clean_my_data.manifest import CleanParameters, FillWith
from outreach_assets.tools.clean_my_data.meant import Meant
from outreach_assets.tools.reading.columns import inner_name, literal


@dataclass(frozen=True, kw_only=True)
class CleanedColumn:
    """What one look at a column found."""

    kind: Kind | None
    says: str | None
    """What the values said, such as that days come first."""

    is_changed: bool


@dataclass(frozen=True, kw_only=True)
class CellCleaner:
    """The cell agents with everything they need: reads the view `rows`."""

    duck: Duck
    parameters: CleanParameters
    folder: Path
    log: Log

    def clean(self, place: int, name: str) -> CleanedColumn:
        """Look at the place-th column, called `name`; make `map_<place>` when a value changes."""
        self._spell(inner_name(place))
        kind, meant = self._understand(name)
        self._finish(name, meant)
        agents = [
            *(PLAIN_TEXT, Agent.UNICODE, Agent.TRIM, Agent.NULL_WORDS),
            *(kind.agent if kind else "", Agent.FILL_NULLS, FORMULAS),
        ]
        counted = self.duck.execute("""
            SELECT count(*) FILTER (given IS DISTINCT FROM s6), count(reason) FROM cells""")
        changed, left = counted.fetchone() or (0, 0)
        if changed:
            self.duck.execute(f"""
                CREATE OR REPLACE TEMP TABLE map_{place} AS
                SELECT given, s6 AS after FROM cells WHERE given IS DISTINCT FROM s6""")
            self.log.changes(place, self._steps(agents))
        self.log.left(place, agents[4], is_empty=not left)
        self.duck.execute("DROP TABLE cells")
        says = meant.says if meant else None
        return CleanedColumn(kind=kind, says=says, is_changed=bool(changed))

    def _spell(self, column: str) -> None:
        """`cells`: each different value, how often it is there, and its text cleaned."""
        chain = {
            "s0": text.plain_text("given"),
            "s1": text.in_unicode("s0") if self._has(Agent.UNICODE) else "s0",
            "s2": text.trimmed("s1") if self._has(Agent.TRIM) else "s1",
            "s3": self._without_null_words("s2"),
        }
        # One inside the other: an alias used in its own SELECT is evaluated anew each time.
        sql = f"SELECT {column} AS given, count(*) AS n FROM rows GROUP BY ALL"
        for name, expression in chain.items():
            sql = f"SELECT *, {expression} AS {name} FROM ({sql})"
        self.duck.execute(f"CREATE OR REPLACE TEMP TABLE cells AS {sql}")

    def _has(self, agent: Agent) -> bool:
        return agent in self.parameters.agents

    def _without_null_words(self, value: str) -> str:
        words = self.parameters.null_words if self._has(Agent.NULL_WORDS) else ()
        return text.without_null_words(value, words)

    def _understand(self, name: str) -> tuple[Kind | None, Meant | None]:
        """What the column's values are, and how such are written when that is wanted."""
        self.duck.execute("""
            CREATE OR REPLACE TEMP TABLE meanings AS
            SELECT DISTINCT s3 AS value FROM cells WHERE s3 IS NOT NULL""")
        kind = kind_of(self.duck, "meanings", name, self.parameters)
        if kind is None or not self._has(kind.agent):
            return kind, None
        return kind, meant_by(self.duck, "meanings", kind.agent, self.parameters, self.folder)

    def _finish(self, name: str, meant: Meant | None) -> None:
        """Add `s4`, of its kind, or why it was left, `s5`, filled, `s6`, which nobody runs."""
        understood = f"({_understood(meant)})"
        safe = "s5" if self.parameters.keep_formulas else text.without_formulas("s5")
        self.duck.execute(f"""
            CREATE OR REPLACE TEMP TABLE cells AS
            SELECT *, {safe} AS s6
            FROM (SELECT *, {self._filled(name, understood)} AS s5 FROM {understood})""")
        self.duck.execute("DROP TABLE meanings")

    def _filled(self, name: str, understood: str) -> str:
        wanted = self.parameters.fill_columns
        if not self._has(Agent.FILL_NULLS) or (wanted and name not in wanted):
            return "s4"
        if self.parameters.fill_with is FillWith.VALUE:
            return f"coalesce(s4, {literal(self.parameters.fill_value)})"
        return f"""coalesce(s4, (SELECT s4 FROM {understood} WHERE s4 IS NOT NULL
            GROUP BY s4 ORDER BY sum(n) DESC, s4 LIMIT 1))"""

    def _steps(self, agents: list[str]) -> str:
        """SQL for every step of every value that ends as another."""
        befores = ["given", *(f"s{stage}" for stage in range(6))]
        return " UNION ALL ".join(
            f"SELECT given, {stage} AS stage, {before} AS before, s{stage} AS after, "
            f"{literal(agent)} AS agent FROM cells "
            f"WHERE given IS DISTINCT FROM s6 AND {before} IS DISTINCT FROM s{stage}"
            for stage, (agent, before) in enumerate(zip(agents, befores, strict=True))
        )


def _understood(meant: Meant | None) -> str:
    """SQL for `cells` with `s4` and the reason why a value was left as it is."""
    if meant is None:
        return "SELECT *, s3 AS s4, NULL::VARCHAR AS reason FROM cells"
    if meant.relation is None:
        after = f"SELECT *, {meant.after} AS after FROM (SELECT *, s3 AS value FROM cells)"
    else:
        after = f"""SELECT * FROM cells
            LEFT JOIN (SELECT *, {meant.after} AS after FROM {meant.relation}) ON s3 = value"""
    kept = ", ".join(("given", "n", *(f"s{stage}" for stage in range(4))))
    return f"""SELECT {kept}, coalesce(after, s3) AS s4,
            CASE WHEN after IS NULL AND s3 IS NOT NULL THEN {meant.left} END AS reason
        FROM ({after})"""
