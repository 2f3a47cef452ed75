-- The audit log is only ever added to, and each row carries the hash of the one before it.
--
-- The trigger audit_log_is_append_only refuses UPDATE, DELETE and TRUNCATE to everybody, superusers
-- included. The table's owner and a superuser can still disable the triggers, change rows and enable
-- them again; nothing inside a database can stop its owner. That is what the chain is for: it cannot
-- keep them from doing so, but `outreach audit verify` finds it, and finds even a chain that was
-- hashed anew from the altered row on, by the closing hashes that were exported to the bucket.
--
-- A row's hash covers every column but row_hash (generated ones are left out: they follow from the
-- others), named in hashed_columns, as the text of one jsonb object. jsonb has one text for one
-- value, tells NULL from '', and no value can imitate a separator. Columns that come later are
-- hashed from then on; rows written before them stay as they were hashed.
--
-- shq.audit_head is one row: the position and hash of the chain's end. Whoever inserts holds its
-- lock until commit, so the chain cannot fork, and positions, unlike serial ids, have no gaps. To
-- keep clear of deadlocks a transaction writes its events last. The BEFORE trigger reads the end of
-- the chain and the AFTER trigger moves the head, so that a row which ON CONFLICT DO NOTHING drops
-- after the first of them leaves no gap.
--
-- Rows that are there already are not rewritten: they keep NULL in these columns, and the chain's
-- first event holds one hash over all of them. That reads the table once while writers of the log
-- wait.
DO $$
DECLARE
  owner text;
BEGIN
  SELECT pg_get_userbyid(relowner) INTO owner
    FROM pg_class WHERE oid = 'shq.audit_log'::regclass;
  IF NOT pg_has_role(current_user, owner, 'USAGE') THEN
    RAISE insufficient_privilege USING MESSAGE = format(
      'shq.audit_log belongs to %I, and %I may not make triggers on it: run `outreach db migrate` '
      'once as %I, or give %I that role', owner, current_user, owner, current_user);
  END IF;
END
$$;

ALTER TABLE shq.audit_log
  ADD COLUMN IF NOT EXISTS chain_position bigint,
  ADD COLUMN IF NOT EXISTS chained_at     timestamptz,
  ADD COLUMN IF NOT EXISTS previous_hash  text,
  ADD COLUMN IF NOT EXISTS row_hash       text,
  ADD COLUMN IF NOT EXISTS hashed_columns text[];

CREATE UNIQUE INDEX IF NOT EXISTS audit_log_chain_position
  ON shq.audit_log (chain_position) WHERE chain_position IS NOT NULL;

-- A run's outcome is written once, whoever sees it how often.
CREATE UNIQUE INDEX IF NOT EXISTS audit_log_one_outcome_per_run
  ON shq.audit_log ((details ->> 'run_id')) WHERE event_type = 'outreach_run_finished';

CREATE TABLE IF NOT EXISTS shq.audit_head (
  is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  position   bigint NOT NULL,
  hash       text NOT NULL,
  chained_at timestamptz NOT NULL
);

-- SECURITY DEFINER: programs that may insert need no right on the head. The settings decide how
-- times, numbers and bytes are written as text, whatever the session of the writer says.
CREATE OR REPLACE FUNCTION shq.chain_audit_row() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET timezone = 'UTC'
  SET datestyle = 'ISO, MDY'
  SET intervalstyle = 'postgres'
  SET extra_float_digits = '1'
  SET bytea_output = 'hex'
AS $$
DECLARE
  head     record;
  tip      record;
  unhashed text[];
BEGIN
  SELECT position, hash, chained_at INTO head FROM shq.audit_head FOR UPDATE;
  IF NOT FOUND THEN
    RAISE 'shq.audit_head has lost its row, so shq.audit_log takes no events: restore it from the '
      'newest row, and run `outreach audit verify`';
  END IF;
  -- Rows of this very statement: the head moves when it ends.
  SELECT chain_position AS position, row_hash AS hash, chained_at INTO tip FROM shq.audit_log
    WHERE chain_position > head.position ORDER BY chain_position DESC LIMIT 1;
  IF FOUND THEN
    head := tip;
  END IF;
  SELECT array_agg(attname::text ORDER BY attname)
      FILTER (WHERE attname = 'row_hash' OR attgenerated <> ''),
    array_agg(attname::text ORDER BY attname)
      FILTER (WHERE attname <> 'row_hash' AND attgenerated = '')
    INTO unhashed, NEW.hashed_columns
    FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped;
  NEW.chain_position := head.position + 1;
  NEW.previous_hash := head.hash;
  -- Never backwards, also when the clock goes: a day that is over gets no more rows.
  NEW.chained_at := greatest(clock_timestamp(), head.chained_at);
  NEW.row_hash := encode(
    sha256(convert_to((to_jsonb(NEW) - unhashed)::text, 'UTF8')), 'hex');
  RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION shq.move_audit_head() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE shq.audit_head
    SET position = tip.chain_position, hash = tip.row_hash, chained_at = tip.chained_at
    FROM (
      SELECT chain_position, row_hash, chained_at FROM shq.audit_log
      WHERE chain_position > (SELECT position FROM shq.audit_head)
      ORDER BY chain_position DESC LIMIT 1
    ) AS tip;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION shq.refuse_audit_change() RETURNS trigger
  LANGUAGE plpgsql
AS $$
BEGIN
  RAISE insufficient_privilege USING MESSAGE = format(
    'shq.audit_log is append-only: %s is refused; write a new event that says what was wrong',
    TG_OP);
END
$$;

-- Triggers fire in the order of their names, and the chain must see what others have done to a row.
DROP TRIGGER IF EXISTS zz_audit_log_chain ON shq.audit_log;
CREATE TRIGGER zz_audit_log_chain BEFORE INSERT ON shq.audit_log
  FOR EACH ROW EXECUTE FUNCTION shq.chain_audit_row();
DROP TRIGGER IF EXISTS zz_audit_log_head ON shq.audit_log;
CREATE TRIGGER zz_audit_log_head AFTER INSERT ON shq.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION shq.move_audit_head();
DROP TRIGGER IF EXISTS audit_log_is_append_only ON shq.audit_log;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON shq.audit_log
  FOR EACH ROW EXECUTE FUNCTION shq.refuse_audit_change();
DROP TRIGGER IF EXISTS audit_log_is_never_emptied ON shq.audit_log;
CREATE TRIGGER audit_log_is_never_emptied BEFORE TRUNCATE ON shq.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION shq.refuse_audit_change();

REVOKE UPDATE, DELETE, TRUNCATE ON shq.audit_log FROM PUBLIC;
REVOKE ALL ON shq.audit_head FROM PUBLIC;
REVOKE ALL ON FUNCTION shq.chain_audit_row(), shq.move_audit_head(), shq.refuse_audit_change()
  FROM PUBLIC;

-- The first event: one hash over the rows before it. In groups of ten thousand ids, because what
-- is hashed at once may not exceed a gigabyte. outreach_core/audit_chain.py computes it again.
DO $$
DECLARE
  sealed   record;
  columns  text[];
  unsealed text[];
BEGIN
  IF EXISTS (SELECT FROM shq.audit_head) THEN
    RETURN;
  END IF;
  PERFORM set_config(name, value, true) FROM (VALUES
    ('timezone', 'UTC'), ('datestyle', 'ISO, MDY'), ('intervalstyle', 'postgres'),
    ('extra_float_digits', '1'), ('bytea_output', 'hex')) AS setting (name, value);
  SELECT array_agg(name) FILTER (WHERE NOT is_ours),
    array_agg(name) FILTER (WHERE is_ours)
    INTO columns, unsealed
    FROM (
      SELECT attname::text AS name, attgenerated <> '' OR attname = ANY (
        '{chain_position,chained_at,previous_hash,row_hash,hashed_columns}') AS is_ours
      FROM pg_attribute WHERE attrelid = 'shq.audit_log'::regclass AND attnum > 0
        AND NOT attisdropped ORDER BY attname
    ) AS found;
  SELECT coalesce(sum(rows), 0)::bigint AS rows, coalesce(max(last_id), 0)::bigint AS last_id,
      encode(sha256(coalesce(string_agg(hash, '' ORDER BY number), '')), 'hex') AS hash
    INTO sealed
    FROM (
      SELECT id / 10000 AS number, count(*) AS rows, max(id) AS last_id,
        sha256(string_agg(
          sha256(convert_to((to_jsonb(older) - unsealed)::text, 'UTF8')), '' ORDER BY id)) AS hash
      FROM shq.audit_log AS older GROUP BY 1
    ) AS groups;
  INSERT INTO shq.audit_head (position, hash, chained_at)
    VALUES (0, repeat('0', 64), '-infinity');
  INSERT INTO shq.audit_log (event_type, event_source, details) VALUES (
    'outreach_audit_chain_started', 'outreach_workbench', jsonb_build_object(
      'who', current_user, 'sealed_rows', sealed.rows, 'sealed_last_id', sealed.last_id,
      'sealed_hash', sealed.hash, 'sealed_columns', columns));
END
$$;
