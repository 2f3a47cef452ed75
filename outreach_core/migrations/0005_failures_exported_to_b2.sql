-- Which failures have been exported to B2. Rows written before this have NULL: unexported too.
-- The default is set apart from the column for that reason, and only when the column is new.
DO $$
DECLARE
  has_column boolean;
BEGIN
  SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = 'marketing.validation_failures_log'::regclass
      AND attname = 'exported_to_b2' AND NOT attisdropped
  ) INTO has_column;
  IF NOT has_column THEN
    ALTER TABLE marketing.validation_failures_log ADD COLUMN exported_to_b2 boolean;
    ALTER TABLE marketing.validation_failures_log ALTER COLUMN exported_to_b2 SET DEFAULT false;
  END IF;

  SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = 'marketing.validation_failures_log'::regclass
      AND attname = 'exported_to_b2_at' AND NOT attisdropped
  ) INTO has_column;
  IF NOT has_column THEN
    ALTER TABLE marketing.validation_failures_log ADD COLUMN exported_to_b2_at timestamp;
  END IF;
END
$$;
