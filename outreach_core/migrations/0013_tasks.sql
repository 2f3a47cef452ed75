-- Tasks: a file somebody hands in and what becomes of it; every change of status in their history.
DO $$
BEGIN
  IF to_regclass('shq.tasks') IS NULL THEN
    CREATE TABLE shq.tasks (
      id            uuid PRIMARY KEY,
      user_id       text NOT NULL REFERENCES shq.users (id),
      tool_id       text NOT NULL,
      status        text NOT NULL CHECK (status IN ('CREATED', 'UPLOADING', 'QUEUED', 'PROCESSING',
                      'COMPLETED', 'UPLOAD_FAILED', 'FAILED', 'CANCELLED', 'EXPIRED')),
      parameters    jsonb NOT NULL,
      inputs        jsonb NOT NULL,
      outputs       jsonb NOT NULL DEFAULT '[]',
      stage         text NOT NULL DEFAULT '',
      progress      smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
      error_code    text,
      error_detail  text,
      run_id        text,
      claims        integer NOT NULL DEFAULT 0,
      lost_claims   integer NOT NULL DEFAULT 0,
      created_at    timestamptz NOT NULL,
      changed_at    timestamptz NOT NULL,
      uploads_until timestamptz NOT NULL,
      queued_at     timestamptz,
      heartbeat_at  timestamptz,
      ended_at      timestamptz,
      deleted_at    timestamptz,
      inputs_removed_at  timestamptz,
      outputs_removed_at timestamptz
    );
    CREATE INDEX idx_tasks_user_created_at ON shq.tasks (user_id, created_at DESC, id DESC);
    CREATE INDEX idx_tasks_open ON shq.tasks (status, queued_at)
      WHERE status IN ('CREATED', 'UPLOADING', 'QUEUED', 'PROCESSING');
    CREATE INDEX idx_tasks_open_of_user ON shq.tasks (user_id)
      WHERE status IN ('CREATED', 'UPLOADING', 'QUEUED', 'PROCESSING');
  END IF;

  IF to_regclass('shq.task_history') IS NULL THEN
    CREATE TABLE shq.task_history (
      id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      task_id    uuid NOT NULL REFERENCES shq.tasks (id) ON DELETE CASCADE,
      status     text NOT NULL,
      changed_at timestamptz NOT NULL,
      reason     text NOT NULL
    );
    CREATE INDEX idx_task_history_task_id ON shq.task_history (task_id, id);
  END IF;

  -- What a POST with an Idempotency-Key was answered, to be answered again.
  IF to_regclass('shq.given_answers') IS NULL THEN
    CREATE TABLE shq.given_answers (
      user_id         text NOT NULL REFERENCES shq.users (id),
      idempotency_key text NOT NULL,
      request_sha256  bytea NOT NULL,
      answer          json,
      given_at        timestamptz NOT NULL,
      PRIMARY KEY (user_id, idempotency_key)
    );
    CREATE INDEX idx_given_answers_given_at ON shq.given_answers (given_at);
  END IF;
END
$$;
