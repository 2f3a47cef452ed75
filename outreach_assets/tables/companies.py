"""Companies: marketing.company_master and what makes one good."""

from outreach_assets.tables.table import Column, OwnState, Rule, Table

COLUMNS = (
    Column(
        name="company_unique_id",
        type="text",
        means="The company's key, such as 04.04.01.33.00033.033",
    ),
    Column(name="company_name", type="text", means="Its name"),
    Column(name="website_url", type="text", means="Its website"),
    Column(name="industry", type="text", means="What it does"),
    Column(name="employee_count", type="integer", means="How many people work there"),
    Column(name="company_phone", type="text", means="Its switchboard", is_personal=True),
    Column(name="address_street", type="text", means="Street and number"),
    Column(name="address_city", type="text", means="City"),
    Column(name="address_state", type="text", means="The state it belongs to: the partition"),
    Column(name="address_zip", type="text", means="ZIP code"),
    Column(name="address_country", type="text", means="Country"),
    Column(name="linkedin_url", type="text", means="Its LinkedIn page"),
    Column(name="facebook_url", type="text", means="Its Facebook page"),
    Column(name="twitter_url", type="text", means="Its Twitter page"),
    Column(name="sic_codes", type="text", means="Standard industrial classification"),
    Column(name="founded_year", type="integer", means="The year it was founded"),
    Column(name="keywords", type="text[]", means="Words that describe it"),
    Column(name="description", type="text", means="A paragraph about it"),
    Column(name="source_system", type="text", means="Where the row came from"),
    Column(name="source_record_id", type="text", means="The row's id there"),
    Column(name="promoted_from_intake_at", type="timestamptz", means="When it became a master row"),
    Column(name="promotion_audit_log_id", type="integer", means="The audit row of that promotion"),
    Column(name="created_at", type="timestamptz", means="When the row was made"),
    Column(name="updated_at", type="timestamptz", means="When it last changed"),
    Column(name="state_abbrev", type="text", means="The state as the intake wrote it"),
    Column(name="import_batch_id", type="text", means="The batch it came with"),
    Column(
        name="validated_at", type="timestamptz", means="When somebody last validated it upstream"
    ),
    Column(name="validated_by", type="text", means="Who did"),
    Column(
        name="data_quality_score", type="numeric(5,2)", means="The intake's own score, 0 to 100"
    ),
)

RULES = (
    Rule(
        name="company_name_missing",
        says="a company has a name",
        complaint="Missing company name",
        sql="company_name IS NOT NULL",
    ),
    Rule(
        name="website_url_missing",
        says="a company has a website",
        complaint="Missing website",
        sql="website_url IS NOT NULL",
    ),
    Rule(
        name="website_url_invalid",
        says="a website has a dot in it",
        complaint="Invalid website",
        sql="website_url LIKE '%.%'",
        asked_when="website_url IS NOT NULL",
    ),
)

COMPANIES = Table(
    name="companies",
    source="marketing.company_master",
    singular="company",
    key="company_unique_id",
    called="company_name",
    state=OwnState(column="address_state"),
    columns=COLUMNS,
    rules=RULES,
)
