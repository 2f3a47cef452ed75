-- Folder policies: which folder is backed up to which destinations, and what of it.
DO $$
BEGIN
  IF to_regnamespace('shq') IS NULL THEN
    CREATE SCHEMA shq;
  END IF;

  -- path: as it was given; path_key: its components in NFC, '/a/b/', so that one folder of a source
  -- has one policy, however its name is written.
  IF to_regclass('shq.sync_folders') IS NULL THEN
    CREATE TABLE shq.sync_folders (
      folder_id     text PRIMARY KEY,
      name          text NOT NULL,
      source        text NOT NULL,
      path          text NOT NULL,
      path_key      text NOT NULL,
      destinations  text[] NOT NULL CHECK (cardinality(destinations) > 0),
      recursive     boolean NOT NULL DEFAULT true,
      enabled       boolean NOT NULL DEFAULT true,
      include       text[] NOT NULL DEFAULT '{}',
      exclude       text[] NOT NULL DEFAULT '{}',
      keep_versions boolean NOT NULL DEFAULT true,
      encrypted     boolean NOT NULL DEFAULT false,
      created_at    timestamptz NOT NULL DEFAULT now(),
      updated_at    timestamptz NOT NULL DEFAULT now(),
      UNIQUE (source, path_key)
    );
  END IF;
END
$$;
