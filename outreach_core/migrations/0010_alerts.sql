-- What is wrong somewhere and whom it was told to: one open row per cause, closed when it is gone.
DO $$
BEGIN
  IF to_regnamespace('shq') IS NULL THEN
    CREATE SCHEMA shq;
  END IF;

  IF to_regclass('shq.alerts') IS NULL THEN
    CREATE TABLE shq.alerts (
      id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      cause       text NOT NULL,
      kind        text NOT NULL,
      subject     text NOT NULL,
      place       text NOT NULL,
      sentence    text NOT NULL,
      fingerprint text NOT NULL,
      link        text NOT NULL,
      opened_at   timestamptz NOT NULL,
      seen_at     timestamptz NOT NULL,
      closed_at   timestamptz
    );
    CREATE UNIQUE INDEX idx_alerts_open_cause ON shq.alerts (cause) WHERE closed_at IS NULL;
    CREATE INDEX idx_alerts_cause ON shq.alerts (cause, id DESC);
  END IF;

  -- told: the fingerprint that this channel was told last, or 'recovered'; NULL before the first.
  -- not_before: nobody else may try before then, because somebody is sending or it was refused.
  IF to_regclass('shq.alert_deliveries') IS NULL THEN
    CREATE TABLE shq.alert_deliveries (
      alert_id   bigint NOT NULL REFERENCES shq.alerts (id) ON DELETE CASCADE,
      channel    text NOT NULL,
      told       text,
      told_at    timestamptz,
      not_before timestamptz NOT NULL DEFAULT '-infinity',
      trouble    text,
      PRIMARY KEY (alert_id, channel)
    );
  END IF;
END
$$;
