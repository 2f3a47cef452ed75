-- Restore drills: one row for each drill, policy and destination.
DO $$
BEGIN
  -- files and bytes: of the sample. restored: those of them that came back with the hash that was
  -- recorded. same_as_source: those that the source still had with that hash.
  IF to_regclass('shq.backup_drills') IS NULL THEN
    CREATE TABLE shq.backup_drills (
      id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      drill_id       text NOT NULL,
      folder_id      text NOT NULL,
      destination    text NOT NULL,
      drilled_at     timestamptz NOT NULL,
      seed           text NOT NULL,
      files          integer NOT NULL,
      bytes          bigint NOT NULL,
      restored       integer NOT NULL,
      restored_bytes bigint NOT NULL,
      same_as_source integer NOT NULL,
      seconds        double precision NOT NULL,
      is_passed      boolean NOT NULL,
      error          text,
      UNIQUE (drill_id, folder_id, destination)
    );
    CREATE INDEX idx_backup_drills_newest
      ON shq.backup_drills (folder_id, destination, drilled_at DESC);
  END IF;
END
$$;
