-- What is exported of the failures: a batch is one object in the store, a row lies in one batch.
-- Rows have no foreign keys: checking one for each took longer than claiming them, and nobody else
-- writes here. The primary key is what makes a second export of a row impossible.
DO $$
BEGIN
  IF to_regclass('shq.failure_batches') IS NULL THEN
    CREATE TABLE shq.failure_batches (
      batch_id     uuid PRIMARY KEY,
      failure_type text NOT NULL CHECK (failure_type IN ('company', 'person')),
      pipeline_id  text NOT NULL,
      state        text NOT NULL,  -- a code, 'unassigned', or 'several'
      number       integer,        -- of a numbered batch, from 1
      format       text NOT NULL,
      safe_cells   boolean NOT NULL,
      key          text NOT NULL UNIQUE,
      later        integer NOT NULL,  -- 2 and more: an earlier export has the name without it
      rows         integer NOT NULL,
      status       text NOT NULL DEFAULT 'claimed' CHECK (status IN ('claimed', 'exported')),
      claimed_at   timestamptz NOT NULL,
      exported_at  timestamptz,
      sha256       text,
      size_bytes   bigint
    );
    CREATE INDEX failure_batches_claimed ON shq.failure_batches (claimed_at, key)
      WHERE status = 'claimed';
  END IF;
  IF to_regclass('shq.failure_batch_rows') IS NULL THEN
    CREATE TABLE shq.failure_batch_rows (
      failure_id integer PRIMARY KEY,
      batch_id   uuid NOT NULL
    );
    CREATE INDEX failure_batch_rows_batch ON shq.failure_batch_rows (batch_id);
  END IF;
END
$$;
