-- What happened, for everyone to read: newest first, one event type at a time.
DO $$
BEGIN
  IF to_regnamespace('shq') IS NULL THEN
    CREATE SCHEMA shq;
  END IF;

  IF to_regclass('shq.audit_log') IS NULL THEN
    CREATE TABLE shq.audit_log (
      id           serial PRIMARY KEY,
      event_type   varchar(255) NOT NULL,
      event_source varchar(255) NOT NULL,
      details      jsonb,
      created_at   timestamp DEFAULT now()
    );
    CREATE INDEX idx_audit_log_event_type_created_at
      ON shq.audit_log (event_type, created_at DESC);
  END IF;
END
$$;
