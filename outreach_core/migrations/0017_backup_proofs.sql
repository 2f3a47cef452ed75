-- What is known of a file at a destination beyond its listing: whose encryption, bytes, faults.
DO $$
BEGIN
  -- remote_hash is of the encryption of what `hash` is of: whoever writes another hash empties it.
  -- passphrase_mark: what of the passphrase may be known, to tell another one by.
  -- bytes_proven_at: when the bytes that lie there were last read and hashed.
  -- fault: what a verification found; 'damaged' are bytes that are not as the listing says, and only
  -- their bytes can end it.
  IF to_regclass('shq.file_destinations') IS NOT NULL THEN
    ALTER TABLE shq.file_destinations
      ADD COLUMN IF NOT EXISTS passphrase_mark text,
      ADD COLUMN IF NOT EXISTS bytes_proven_at timestamptz,
      ADD COLUMN IF NOT EXISTS fault text CHECK (fault IN ('missing', 'replaced', 'damaged'));
    CREATE INDEX IF NOT EXISTS idx_file_destinations_faults
      ON shq.file_destinations (folder_id, destination) WHERE fault IS NOT NULL;
  END IF;
END
$$;
