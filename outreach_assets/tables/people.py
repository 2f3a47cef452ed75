"""People: marketing.people_master and what makes one good. A person's state is their company's."""

from outreach_assets.tables.companies import COMPANIES
from outreach_assets.tables.table import Column, Linked, Rule, Severity, StateOf, Table

COLUMNS = (
    Column(name="unique_id", type="text", means="The person's key"),
    Column(name="company_unique_id", type="text", means="The company they work for"),
    Column(name="company_slot_unique_id", type="text", means="The position they fill there"),
    Column(name="first_name", type="text", means="First name", is_personal=True),
    Column(name="last_name", type="text", means="Last name", is_personal=True),
    Column(name="full_name", type="text", means="Name as written", is_personal=True),
    Column(name="title", type="text", means="Their title"),
    Column(name="seniority", type="text", means="How senior the title is"),
    Column(name="department", type="text", means="Their department"),
    Column(name="email", type="text", means="Their email address", is_personal=True),
    Column(name="work_phone_e164", type="text", means="Work phone, E.164", is_personal=True),
    Column(
        name="personal_phone_e164", type="text", means="Personal phone, E.164", is_personal=True
    ),
    Column(name="linkedin_url", type="text", means="Their LinkedIn page", is_personal=True),
    Column(name="twitter_url", type="text", means="Their Twitter page", is_personal=True),
    Column(name="facebook_url", type="text", means="Their Facebook page", is_personal=True),
    Column(name="bio", type="text", means="A paragraph about them", is_personal=True),
    Column(name="skills", type="text[]", means="What they can do"),
    Column(name="education", type="text", means="Where they studied"),
    Column(name="certifications", type="text[]", means="What they are certified in"),
    Column(name="source_system", type="text", means="Where the row came from"),
    Column(name="source_record_id", type="text", means="The row's id there"),
    Column(name="promoted_from_intake_at", type="timestamptz", means="When it became a master row"),
    Column(name="promotion_audit_log_id", type="integer", means="The audit row of that promotion"),
    Column(name="created_at", type="timestamptz", means="When the row was made"),
    Column(name="updated_at", type="timestamptz", means="When it last changed"),
    Column(name="email_verified", type="boolean", means="Whether the address was verified"),
    Column(name="message_key_scheduled", type="text", means="The message planned for them"),
    Column(name="email_verification_source", type="text", means="Who verified the address"),
    Column(name="email_verified_at", type="timestamptz", means="When it was verified"),
)

COMPANY_NOT_VALID = "company_not_valid"

RULES = (
    Rule(
        name="email_invalid",
        says="an email is something, one @, something, a dot, something",
        complaint="Missing or invalid email",
        # The whole of it must match; `~` would do today and become a partial match in DuckDB 2.
        sql=r"regexp_full_match(email, '[^@]+@[^@]+\.[^@]+')",
    ),
    Rule(
        name="title_missing",
        says="a person has a title",
        complaint="Missing title",
        sql="title IS NOT NULL",
    ),
    Rule(
        name=COMPANY_NOT_VALID,
        complaint="Company is not valid",
        says="a person's company is good, where it is known",
        sql="NOT outreach_company_is_bad",
        linked=Linked(
            table=COMPANIES, column="company_unique_id", is_bad="outreach_company_is_bad"
        ),
        severity=Severity.WARN,  # or as OUTREACH_COMPANY_NOT_VALID says: catalogue.py
    ),
)

PEOPLE = Table(
    name="people",
    source="marketing.people_master",
    singular="person",
    key="unique_id",
    called="coalesce(full_name, nullif(concat_ws(' ', first_name, last_name), ''))",
    state=StateOf(table=COMPANIES, column="company_unique_id"),
    columns=COLUMNS,
    rules=RULES,
)
