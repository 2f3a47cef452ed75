-- Where each file of a policy is: one row per file and destination.
DO $$
BEGIN
  -- No foreign key: what was backed up stays known when its policy is gone, or nobody could restore.
  -- hash: of the source, as the newest run found it, 'md5:…'; synced means that the destination
  -- answered with the same one at proven_at. remote_hash: what an encrypting destination holds.
  IF to_regclass('shq.file_destinations') IS NULL THEN
    CREATE TABLE shq.file_destinations (
      folder_id   text NOT NULL,
      destination text NOT NULL,
      path        text NOT NULL,
      status      text NOT NULL CHECK (status IN ('pending', 'synced', 'failed', 'deleted')),
      size_bytes  bigint NOT NULL,
      hash        text,
      remote_path text,
      remote_hash text,
      error       text,
      attempts    integer NOT NULL DEFAULT 0,
      synced_at   timestamptz,
      proven_at   timestamptz,
      changed_at  timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (folder_id, destination, path)
    ) WITH (fillfactor = 80);
    CREATE INDEX idx_file_destinations_open ON shq.file_destinations (folder_id, destination, status)
      WHERE status IN ('pending', 'failed');
  END IF;
END
$$;
