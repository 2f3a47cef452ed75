-- The kill switches that a state's last run was held against: a held state whose thresholds change
-- is asked for again. NULL: recorded before this, and not compared.
ALTER TABLE shq.source_versions ADD COLUMN IF NOT EXISTS switches text;
