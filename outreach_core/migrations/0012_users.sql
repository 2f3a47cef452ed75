-- Who may use the HTTP API: users, the sha256 of each token they were given, and how often they ask.
DO $$
BEGIN
  IF to_regnamespace('shq') IS NULL THEN
    CREATE SCHEMA shq;
  END IF;

  -- The id becomes a part of object keys.
  IF to_regclass('shq.users') IS NULL THEN
    CREATE TABLE shq.users (
      id          text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
      is_operator boolean NOT NULL,
      created_at  timestamptz NOT NULL
    );
  END IF;

  IF to_regclass('shq.user_tokens') IS NULL THEN
    CREATE TABLE shq.user_tokens (
      sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
      user_id    text NOT NULL REFERENCES shq.users (id),
      created_at timestamptz NOT NULL,
      revoked_at timestamptz
    );
    CREATE INDEX idx_user_tokens_user_id ON shq.user_tokens (user_id);
  END IF;

  -- One row per user, changed by every request: unlogged, so that no request waits for the disk. A
  -- crash of the server empties it, which forgives a minute's requests.
  IF to_regclass('shq.user_requests') IS NULL THEN
    CREATE UNLOGGED TABLE shq.user_requests (
      user_id  text PRIMARY KEY,
      minute   timestamptz NOT NULL,
      requests integer NOT NULL
    ) WITH (fillfactor = 50);
  END IF;
END
$$;
