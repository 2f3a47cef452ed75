-- The two source tables. In production both exist: then nothing is created, altered or indexed here.
-- (CREATE ... IF NOT EXISTS asks for the right to create before it looks, hence the DO block.)
DO $$
BEGIN
  IF to_regnamespace('marketing') IS NULL THEN
    CREATE SCHEMA marketing;
  END IF;

  IF to_regclass('marketing.company_master') IS NULL THEN
    CREATE TABLE marketing.company_master (
      company_unique_id       text PRIMARY KEY,
      company_name            text,
      website_url             text,
      industry                text,
      employee_count          integer,
      company_phone           text,
      address_street          text,
      address_city            text,
      address_state           text,
      address_zip             text,
      address_country         text,
      linkedin_url            text,
      facebook_url            text,
      twitter_url             text,
      sic_codes               text,
      founded_year            integer,
      keywords                text[],
      description             text,
      source_system           text,
      source_record_id        text,
      promoted_from_intake_at timestamptz,
      promotion_audit_log_id  integer,
      created_at              timestamptz,
      updated_at              timestamptz,
      state_abbrev            text,
      import_batch_id         text,
      validated_at            timestamptz,
      validated_by            text,
      data_quality_score      numeric(5,2)
    );
    CREATE INDEX idx_company_master_address_state
      ON marketing.company_master (address_state);
  END IF;

  IF to_regclass('marketing.people_master') IS NULL THEN
    CREATE TABLE marketing.people_master (
      unique_id                 text PRIMARY KEY,
      company_unique_id         text,
      company_slot_unique_id    text,
      first_name                text,
      last_name                 text,
      full_name                 text,
      title                     text,
      seniority                 text,
      department                text,
      email                     text,
      work_phone_e164           text,
      personal_phone_e164       text,
      linkedin_url              text,
      twitter_url               text,
      facebook_url              text,
      bio                       text,
      skills                    text[],
      education                 text,
      certifications            text[],
      source_system             text,
      source_record_id          text,
      promoted_from_intake_at   timestamptz,
      promotion_audit_log_id    integer,
      created_at                timestamptz,
      updated_at                timestamptz,
      email_verified            boolean,
      message_key_scheduled     text,
      email_verification_source text,
      email_verified_at         timestamptz
    );
    CREATE INDEX idx_people_master_company_unique_id
      ON marketing.people_master (company_unique_id);
  END IF;
END
$$;
