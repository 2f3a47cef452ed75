"""Sample rows in a real Postgres: the same for a seed, and as broken as they promise.

Expected shares, of any size and seed:

- companies: 8 % bad (7th and 20th of every 25 of a place); of the bad, in sixteenths: 4 no name,
  6 no website, 4 no dot in it, 1 no name and no website, 1 no name and no dot
- people: 15 % bad: 8 % email, 5 % title, 2 % both
- 0.6 % of companies without a known state, in six kinds; every one of the 56 codes is there
- about 0.4 % of people with no company_unique_id, 0.4 % with one that does not exist
"""

import pytest

from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.sample_choices import (
    ExistingRows,
    SampleFacts,
    SampleRefusedError,
    SampleSize,
    SampleTarget,
)
from outreach_core.sample_data import load_sample
from outreach_core.states import STATE_CODES

# Of seed 1, whatever the machine and the version of Postgres. Changes with the statements only.
DEMO_HASH = ("fbfae2ecd33b73a72f5a35787dda36d7", "4dfe04f8526f14d2ad700d926e1e55a9")
EMAIL_IS_VALID = r"(email ~ '\A[^@]+@[^@]+\.[^@]+\Z') IS TRUE"
COMPANY_REASONS = (
    "SELECT concat_ws('+', CASE WHEN company_name IS NULL THEN 'name' END,"
    " CASE WHEN website_url IS NULL THEN 'website'"
    " WHEN website_url NOT LIKE '%.%' THEN 'dot' END), count(*)"
    " FROM marketing.company_master GROUP BY 1"
)
PEOPLE_REASONS = (
    f"SELECT concat_ws('+', CASE WHEN NOT {EMAIL_IS_VALID} THEN 'email' END,"
    " CASE WHEN title IS NULL THEN 'title' END), count(*)"
    " FROM marketing.people_master GROUP BY 1"
)
EMAIL_KINDS = r"""
SELECT count(*) FILTER (WHERE email IS NULL), count(*) FILTER (WHERE email = ''),
  count(*) FILTER (WHERE email ~ '^ +$'),
  count(*) FILTER (WHERE email !~ '@' AND email ~ 'example'),
  count(*) FILTER (WHERE email ~ '@.*@'), count(*) FILTER (WHERE email ~ '@[^.]+$'),
  count(*) FILTER (WHERE email ~ '\n'), count(*) FILTER (WHERE email ~ '[a-z] [a-z]+@'),
  count(*) FILTER (WHERE email ~ '^@')
FROM marketing.people_master
"""
COMPANY_ODDITIES = r"""
SELECT count(*) FILTER (WHERE data_quality_score = 'NaN'),
  count(*) FILTER (WHERE validated_at = 'infinity'),
  count(*) FILTER (WHERE promoted_from_intake_at = '-infinity'),
  count(*) FILTER (WHERE keywords = '{}'), count(*) FILTER (WHERE keywords IS NULL),
  count(*) FILTER (WHERE array_position(keywords, NULL) > 0),
  count(*) FILTER (WHERE company_name ~ 'ш'), count(*) FILTER (WHERE company_name ~ '[א-ת]'),
  count(*) FILTER (WHERE company_name ~ '[一-龥]'), count(*) FILTER (WHERE company_name = ''),
  count(*) FILTER (WHERE company_name ~ '[\n\t]'), count(*) FILTER (WHERE company_name ~ '"'),
  count(*) FILTER (WHERE company_name IS NOT NULL AND company_name IS NOT NFC NORMALIZED)
FROM marketing.company_master
"""


def load(postgres: Postgres, seed: int = 1, size: SampleSize = SampleSize.DEMO) -> SampleFacts:
    migrate(postgres)
    return load_sample(
        postgres,
        size=size,
        seed=seed,
        target=SampleTarget.EMBEDDED,
        existing=ExistingRows.REPLACE,
    )


def query(postgres: Postgres, sql: str) -> list[tuple]:
    with postgres.connect() as connection:
        connection.execute("SET LOCAL timezone = 'UTC'")
        return connection.execute(sql).fetchall()


def hashes(postgres: Postgres, *, first_companies: int = 1_500) -> tuple[str, ...]:
    """One hash over every row of a table, for both tables."""
    return tuple(
        query(
            postgres,
            f"SELECT md5(string_agg(md5(t::text), '' ORDER BY {key} COLLATE \"C\")) FROM "
            f'(SELECT * FROM {table} ORDER BY {key} COLLATE "C" LIMIT {limit}) AS t',
        )[0][0]
        for table, key, limit in (
            ("marketing.company_master", "company_unique_id", first_companies),
            ("marketing.people_master", "unique_id", first_companies * 4),
        )
    )


def test_a_seed_gives_the_same_rows_on_any_machine(postgres: Postgres) -> None:
    load(postgres)
    assert hashes(postgres) == DEMO_HASH


def test_another_seed_gives_other_rows(postgres: Postgres) -> None:
    load(postgres, seed=2)
    ours = hashes(postgres)
    assert all(mine != other for mine, other in zip(ours, DEMO_HASH, strict=True))


@pytest.mark.slow
def test_a_larger_size_begins_with_the_rows_of_the_smaller(postgres: Postgres) -> None:
    load(postgres, size=SampleSize.S)
    assert hashes(postgres) == DEMO_HASH


def test_the_facts_are_the_tables_rows(postgres: Postgres) -> None:
    facts = load(postgres)
    counted = query(
        postgres,
        "SELECT (SELECT count(*) FROM marketing.company_master),"
        " (SELECT count(*) FROM marketing.people_master)",
    )
    assert counted == [(facts.companies, facts.people)] == [(15_000, 60_000)]


@pytest.mark.parametrize(
    "size", [SampleSize.DEMO, pytest.param(SampleSize.S, marks=pytest.mark.slow)]
)
def test_companies_are_bad_for_every_reason_and_combination(
    postgres: Postgres, size: SampleSize
) -> None:
    load(postgres, size=size)
    found = dict(query(postgres, COMPANY_REASONS))
    good = found.pop("")
    assert set(found) == {"name", "website", "dot", "name+website", "name+dot"}
    assert 0.06 <= sum(found.values()) / (good + sum(found.values())) <= 0.09


def test_people_are_bad_for_every_reason_and_combination(postgres: Postgres) -> None:
    load(postgres)
    people = SampleSize.DEMO.people
    assert dict(query(postgres, PEOPLE_REASONS)) == {
        "": people * 85 // 100,
        "email": people * 8 // 100,
        "title": people * 5 // 100,
        "email+title": people * 2 // 100,
    }


@pytest.mark.slow
def test_no_state_has_so_many_bad_companies_that_it_would_be_held(postgres: Postgres) -> None:
    load(postgres)
    worst = query(
        postgres,
        "SELECT max(bad) FROM (SELECT avg((company_name IS NULL OR website_url IS NULL OR"
        " website_url NOT LIKE '%.%')::int) AS bad FROM marketing.company_master"
        f" WHERE address_state IN ({str(STATE_CODES)[1:-1]}) GROUP BY address_state) AS s",
    )
    assert worst[0][0] <= 0.15


def test_the_demo_has_bad_companies_in_west_virginia(postgres: Postgres) -> None:
    load(postgres, seed=7)
    found = query(
        postgres,
        "SELECT 1 FROM marketing.company_master WHERE address_state = 'WV' AND (company_name IS"
        " NULL OR website_url IS NULL OR website_url NOT LIKE '%.%')",
    )
    assert found


def test_every_state_and_every_kind_of_unknown_state_is_there(postgres: Postgres) -> None:
    load(postgres)
    states = {s for (s,) in query(postgres, "SELECT address_state FROM marketing.company_master")}
    assert states == {*STATE_CODES, None, "", "XX", "wv", " WV", "West Virginia"}


def test_some_people_have_no_company(postgres: Postgres) -> None:
    load(postgres)
    [(none, dangling)] = query(
        postgres,
        "SELECT avg((p.company_unique_id IS NULL)::int),"
        " avg((p.company_unique_id > '' AND c.company_unique_id IS NULL)::int)"
        " FROM marketing.people_master p"
        " LEFT JOIN marketing.company_master c USING (company_unique_id)",
    )
    assert 0.002 <= none <= 0.006
    assert 0.002 <= dangling <= 0.006


def test_emails_are_broken_in_every_way(postgres: Postgres) -> None:
    load(postgres)
    assert 0 not in query(postgres, EMAIL_KINDS)[0]


def test_mail_goes_to_reserved_domains_only(postgres: Postgres) -> None:
    load(postgres)
    real = r"email ~ '@' AND email !~ '@(mail\.)?example(\.(com|org|net)?\s*|$)|@\.com$'"
    assert not query(postgres, f"SELECT email FROM marketing.people_master WHERE {real}")


def test_odd_values_of_every_kind_are_in_the_demo(postgres: Postgres) -> None:
    load(postgres)
    assert 0 not in query(postgres, COMPANY_ODDITIES)[0]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["company_master", "people_master"])
def test_every_column_is_filled_somewhere(postgres: Postgres, table: str) -> None:
    load(postgres)
    [(row,)] = query(
        postgres,
        f"SELECT jsonb_object_agg(k, n) FROM (SELECT k, count(v) AS n FROM marketing.{table} t,"
        " jsonb_each_text(to_jsonb(t)) AS e (k, v) GROUP BY k) AS filled",
    )
    assert len(row) == 29
    assert min(row.values()) > 0


@pytest.mark.slow
def test_descriptions_have_50_to_300_characters(postgres: Postgres) -> None:
    load(postgres, size=SampleSize.S)
    [(shortest, longest)] = query(
        postgres,
        "SELECT min(length(description)), max(length(description)) FROM marketing.company_master",
    )
    assert 50 <= shortest <= longest <= 300


def test_a_table_with_rows_is_refused_by_name(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        connection.execute("INSERT INTO marketing.people_master (unique_id) VALUES ('p1')")
    with pytest.raises(SampleRefusedError, match=r"marketing\.people_master .* `--replace`"):
        load_sample(postgres, size=SampleSize.DEMO, seed=1, target=SampleTarget.EMBEDDED)
    assert query(postgres, "SELECT unique_id FROM marketing.people_master") == [("p1",)]


def test_a_named_database_is_refused_unless_asked_for(postgres: Postgres) -> None:
    with pytest.raises(SampleRefusedError, match="not the embedded database"):
        load_sample(postgres, size=SampleSize.DEMO, seed=1, target=SampleTarget.NAMED)


def test_missing_tables_say_to_migrate(empty_postgres: Postgres) -> None:
    with pytest.raises(SampleRefusedError, match="outreach db migrate"):
        load_sample(empty_postgres, size=SampleSize.DEMO, seed=1, target=SampleTarget.EMBEDDED)


@pytest.mark.slow
def test_a_load_cut_short_leaves_the_tables_as_they_were(postgres: Postgres) -> None:
    load(postgres)

    def cut(table: str, _share: float) -> None:
        if table == "marketing.people_master":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_sample(
            postgres,
            size=SampleSize.DEMO,
            seed=2,
            target=SampleTarget.EMBEDDED,
            existing=ExistingRows.REPLACE,
            progress=cut,
        )
    assert hashes(postgres) == DEMO_HASH


def test_progress_ends_at_one(postgres: Postgres) -> None:
    heard: list[float] = []
    load_sample(
        postgres,
        size=SampleSize.DEMO,
        seed=1,
        target=SampleTarget.EMBEDDED,
        progress=lambda _table, share: heard.append(share),
    )
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
