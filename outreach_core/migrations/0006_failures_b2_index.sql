-- outside a transaction, builds marketing.idx_validation_failures_b2_export
-- Finds what is still to be exported, without keeping writers of the log waiting meanwhile.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_validation_failures_b2_export
  ON marketing.validation_failures_log (exported_to_b2, failure_type)
  WHERE exported_to_b2 = false;
