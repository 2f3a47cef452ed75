-- Where bad rows are remembered until somebody mends them. Production may have it already.
DO $$
BEGIN
  IF to_regclass('marketing.validation_failures_log') IS NULL THEN
    CREATE TABLE marketing.validation_failures_log (
      id                   serial PRIMARY KEY,
      company_id           text,
      person_id            text,
      company_name         text,
      person_name          text,
      fail_reason          text NOT NULL,
      state                text,
      validation_timestamp timestamptz,
      pipeline_id          text NOT NULL,
      failure_type         text NOT NULL CHECK (failure_type IN ('company', 'person')),
      created_at           timestamptz DEFAULT now(),
      updated_at           timestamptz DEFAULT now(),
      exported_to_sheets   boolean DEFAULT false,
      exported_at          timestamptz,
      UNIQUE (company_id, pipeline_id, failure_type),
      UNIQUE (person_id, pipeline_id, failure_type)
    );
  END IF;
END
$$;
