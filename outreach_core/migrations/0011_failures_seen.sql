-- When a failure was last seen and which validations there were: together they say what is mended.
-- Rows written before this have NULL in last_seen_at: then when they were written counts.
DO $$
DECLARE
  has_column boolean;
BEGIN
  SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = 'marketing.validation_failures_log'::regclass
      AND attname = 'last_seen_at' AND NOT attisdropped
  ) INTO has_column;
  IF NOT has_column THEN
    ALTER TABLE marketing.validation_failures_log ADD COLUMN last_seen_at timestamptz;
  END IF;

  IF to_regclass('shq.validations') IS NULL THEN
    CREATE TABLE shq.validations (
      state        text NOT NULL,
      failure_type text NOT NULL,
      validated_at timestamptz NOT NULL,
      pipeline_id  text NOT NULL,
      run_id       text NOT NULL,
      failures     integer NOT NULL,
      PRIMARY KEY (state, failure_type, validated_at)
    );
  END IF;
END
$$;

-- The newest failure of every company and person. `mended_at` is NULL while it is open; otherwise
-- the first validation of its state that did not find it any more.
CREATE OR REPLACE VIEW marketing.validation_failures_open AS
SELECT newest.*, (
    SELECT min(v.validated_at) FROM shq.validations AS v
    WHERE v.state = newest.state AND v.failure_type = newest.failure_type
      AND v.validated_at > newest.seen_at
  ) AS mended_at
FROM (
  SELECT DISTINCT ON (failure_type, coalesce(company_id, person_id))
    id, failure_type, company_id, person_id, company_name, person_name, fail_reason, state,
    validation_timestamp, pipeline_id, exported_to_b2, exported_to_b2_at,
    coalesce(last_seen_at, validation_timestamp, created_at) AS seen_at
  FROM marketing.validation_failures_log
  ORDER BY failure_type, coalesce(company_id, person_id),
    coalesce(last_seen_at, validation_timestamp, created_at) DESC NULLS LAST, id DESC
) AS newest;
