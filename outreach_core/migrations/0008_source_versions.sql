-- What each state's last run to its end was made from: a version per table, the rules, the engine.
-- By the store it was published to, because two may be filled from one database.
DO $$
BEGIN
  IF to_regclass('shq.source_versions') IS NULL THEN
    CREATE TABLE shq.source_versions (
      store       text NOT NULL,
      state       text NOT NULL,
      table_name  text NOT NULL,
      version     text NOT NULL,
      rules       text NOT NULL,
      duckdb      text NOT NULL,
      status      text NOT NULL,
      run_id      text NOT NULL,
      recorded_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (store, state, table_name)
    );
  END IF;
END
$$;
