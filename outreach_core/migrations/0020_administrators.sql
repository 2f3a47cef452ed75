-- Users who may see and change backup policies over HTTP, and files in the order they are paged in.
ALTER TABLE shq.users ADD COLUMN IF NOT EXISTS is_administrator boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS idx_file_destinations_path
  ON shq.file_destinations (folder_id, path, destination);
