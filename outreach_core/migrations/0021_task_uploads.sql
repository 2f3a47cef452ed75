-- Uploads in parts that are under way, and files that were dropped into an inbox.
DO $$
BEGIN
  -- A row is written before the store is asked, and stays until nothing can be left there: a kill in
  -- between leaves a note. upload_id is NULL before the store has given one, and after completion.
  IF to_regclass('shq.task_part_uploads') IS NULL THEN
    CREATE TABLE shq.task_part_uploads (
      task_id    uuid NOT NULL REFERENCES shq.tasks (id) ON DELETE CASCADE,
      name       text NOT NULL,
      part_bytes bigint NOT NULL CHECK (part_bytes > 0),
      upload_id  text,
      PRIMARY KEY (task_id, name)
    );
  END IF;

  -- Keys that somebody has seen in an inbox and that are to become tasks.
  IF to_regclass('shq.announced_drops') IS NULL THEN
    CREATE TABLE shq.announced_drops (
      key          text PRIMARY KEY,
      announced_at timestamptz NOT NULL,
      due_at       timestamptz NOT NULL
    );
    CREATE INDEX idx_announced_drops_due_at ON shq.announced_drops (due_at);
  END IF;

  -- Those that cannot become a task and stay where they are; modified_at in whole seconds.
  IF to_regclass('shq.refused_drops') IS NULL THEN
    CREATE TABLE shq.refused_drops (
      key         text NOT NULL,
      modified_at timestamptz NOT NULL,
      reason      text NOT NULL,
      refused_at  timestamptz NOT NULL,
      PRIMARY KEY (key, modified_at)
    );
  END IF;
END
$$;
