-- A run that has begun in a state and has no terminal row in shq.audit_log yet.
DO $$
BEGIN
  IF to_regclass('shq.open_runs') IS NULL THEN
    CREATE TABLE shq.open_runs (
      run_id     text NOT NULL,
      state      text NOT NULL,
      started_at timestamptz NOT NULL DEFAULT now(),
      details    jsonb NOT NULL DEFAULT '{}',
      PRIMARY KEY (run_id, state)
    );
  END IF;
END
$$;
