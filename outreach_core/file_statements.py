"""The statements by which listings are judged and files recorded (shq.file_destinations).

When each is run is in file_destinations.py.
"""

LISTED = """
    CREATE TEMP TABLE {}
        (path text NOT NULL, size_bytes bigint NOT NULL, hash text, remote_hash text)
    ON COMMIT DROP"""

SAME = "d.hash = s.hash AND d.size_bytes = s.size_bytes"

# Bytes that were found damaged are no copy, whatever the listing says of them, until somebody has
# read them and they are as the listing says.
DAMAGED_IS_NOT_THERE = """
    DELETE FROM listed_destination d USING shq.file_destinations f, {} t
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.fault = 'damaged'
      AND f.path = d.path AND t.path = d.path
      AND NOT EXISTS (SELECT FROM bytes_read r
                      WHERE r.path = d.path AND r.hash = coalesce(d.remote_hash, d.hash))"""

# What the table says is true as soon as this is committed: what is not there is pending.
NOTE_SOURCE = f"""
    INSERT INTO shq.file_destinations AS f
        (folder_id, destination, path, status, size_bytes, hash, remote_path, error, attempts,
         synced_at, proven_at, changed_at, remote_hash, passphrase_mark)
    SELECT %(folder_id)s, %(destination)s, s.path,
           CASE WHEN {SAME} THEN 'synced' WHEN s.hash IS NULL THEN 'failed' ELSE 'pending' END,
           s.size_bytes, s.hash,
           CASE WHEN d.path IS NOT NULL THEN %(root)s || '/' || s.path END,
           CASE WHEN s.hash IS NULL THEN 'the source cannot be read' END,
           (s.hash IS NULL)::int,
           CASE WHEN {SAME} THEN %(now)s::timestamptz END,
           CASE WHEN {SAME} THEN %(now)s::timestamptz END,
           %(now)s,
           CASE WHEN {SAME} THEN d.remote_hash END,
           %(passphrase_mark)s
    FROM listed_source s LEFT JOIN listed_destination d USING (path)
    ON CONFLICT (folder_id, destination, path) DO UPDATE SET
        status = EXCLUDED.status, size_bytes = EXCLUDED.size_bytes, hash = EXCLUDED.hash,
        remote_path = EXCLUDED.remote_path, remote_hash = EXCLUDED.remote_hash,
        passphrase_mark = EXCLUDED.passphrase_mark,
        fault = CASE WHEN EXCLUDED.status <> 'synced'
                      AND f.passphrase_mark IS NOT DISTINCT FROM EXCLUDED.passphrase_mark
                     THEN f.fault END,
        bytes_proven_at = CASE WHEN (f.hash, EXCLUDED.status) = (EXCLUDED.hash, 'synced')
                               THEN f.bytes_proven_at END,
        error = CASE WHEN EXCLUDED.status = 'pending' THEN f.error ELSE EXCLUDED.error END,
        attempts = CASE EXCLUDED.status WHEN 'synced' THEN 0
                   ELSE f.attempts + EXCLUDED.attempts END,
        synced_at = CASE WHEN f.status = 'synced' AND f.hash = EXCLUDED.hash
                         THEN f.synced_at ELSE coalesce(EXCLUDED.synced_at, f.synced_at) END,
        proven_at = coalesce(EXCLUDED.proven_at, f.proven_at),
        changed_at = CASE WHEN (f.status, f.hash) IS NOT DISTINCT FROM
                               (EXCLUDED.status, EXCLUDED.hash)
                          THEN f.changed_at ELSE EXCLUDED.changed_at END"""  # noqa: S608

# Rows whose file neither side has: it was removed while nobody looked, or never got there.
NOTE_GONE = """
    UPDATE shq.file_destinations f
    SET status = 'deleted', remote_path = NULL, error = NULL, fault = NULL, changed_at = %(now)s
    WHERE folder_id = %(folder_id)s AND destination = %(destination)s AND status <> 'deleted'
      AND NOT EXISTS (SELECT FROM listed_source s WHERE s.path = f.path)
      AND NOT EXISTS (SELECT FROM listed_destination d WHERE d.path = f.path)
      AND NOT EXISTS (SELECT FROM unnest(%(unread)s::text[]) u WHERE starts_with(f.path, u))"""

COUNTS = f"""
    SELECT count(*), count(*) FILTER (WHERE {SAME}), count(*) FILTER (WHERE s.hash IS NULL)
    FROM listed_source s LEFT JOIN listed_destination d USING (path)"""  # noqa: S608

TO_SEND = f"""
    SELECT s.path, s.size_bytes, s.hash, d.path IS NOT NULL,
           CASE WHEN d.hash IS NULL AND d.size_bytes = s.size_bytes THEN d.remote_hash END,
           EXISTS (SELECT FROM shq.file_destinations f
                   WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s
                     AND f.fault = 'damaged' AND f.path = s.path)
    FROM listed_source s LEFT JOIN listed_destination d USING (path)
    WHERE s.hash IS NOT NULL AND ({SAME}) IS NOT TRUE ORDER BY s.path"""  # noqa: S608

NOT_IN_SOURCE = """
    SELECT path FROM listed_destination d
    WHERE NOT EXISTS (SELECT FROM listed_source s WHERE s.path = d.path)
      AND NOT EXISTS (SELECT FROM unnest(%(unread)s::text[]) u WHERE starts_with(d.path, u))
    ORDER BY path"""

NOTE_SENT = """
    UPDATE shq.file_destinations f
    SET status = CASE WHEN d.hash = f.hash THEN 'synced' ELSE 'failed' END,
        size_bytes = CASE WHEN d.hash = f.hash THEN d.size_bytes ELSE f.size_bytes END,
        remote_path = CASE WHEN d.path IS NOT NULL THEN %(root)s || '/' || f.path END,
        error = CASE WHEN d.hash = f.hash THEN NULL
                     WHEN d.path IS NOT NULL AND coalesce(d.remote_hash, d.hash) IS NULL
                     THEN coalesce(t.error, 'the destination tells no hash of it')
                     ELSE coalesce(t.error, %(unsaid)s) END,
        attempts = CASE WHEN d.hash = f.hash THEN 0 ELSE f.attempts + 1 END,
        synced_at = CASE WHEN d.hash = f.hash THEN %(now)s ELSE f.synced_at END,
        proven_at = CASE WHEN d.hash = f.hash THEN %(now)s ELSE f.proven_at END,
        fault = CASE WHEN d.hash = f.hash THEN NULL ELSE f.fault END,
        bytes_proven_at = CASE WHEN d.hash = f.hash AND r.path IS NOT NULL THEN %(now)s END,
        remote_hash = CASE WHEN d.hash = f.hash THEN d.remote_hash END,
        passphrase_mark = %(passphrase_mark)s,
        changed_at = %(now)s
    FROM tried t LEFT JOIN listed_destination d USING (path) LEFT JOIN bytes_read r USING (path)
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = t.path"""

NOTE_REMOVED = """
    UPDATE shq.file_destinations f
    SET status = CASE WHEN d.path IS NULL THEN 'deleted' ELSE 'failed' END,
        remote_path = CASE WHEN d.path IS NULL THEN NULL ELSE f.remote_path END,
        error = CASE WHEN d.path IS NOT NULL
                     THEN 'the source has it no more, and it could not be removed' END,
        changed_at = %(now)s
    FROM unnest(%(removed)s::text[]) AS r (path) LEFT JOIN listed_destination d USING (path)
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = r.path"""

CAME_OF_IT = """
    SELECT count(*) FILTER (WHERE d.hash = f.hash),
           coalesce(sum(f.size_bytes) FILTER (WHERE d.hash = f.hash), 0)::bigint,
           (SELECT count(*) FROM unnest(%(removed)s::text[]) AS r (path)
            WHERE NOT EXISTS (SELECT FROM listed_destination l WHERE l.path = r.path))
    FROM tried t JOIN shq.file_destinations f
         ON f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.path = t.path
    LEFT JOIN listed_destination d ON d.path = t.path"""

# Twins are one file that cannot be read: no hash, so that none of them is copied.
DROP_TWINS = """
    WITH twins AS (
      DELETE FROM listed_source WHERE path IN
        (SELECT path FROM listed_source GROUP BY path HAVING count(*) > 1)
      RETURNING path, size_bytes
    )
    INSERT INTO listed_source (path, size_bytes) SELECT path, max(size_bytes) FROM twins
    GROUP BY path RETURNING path"""

# The destination could not be asked: what it was proven to hold stays true for the same content.
NOTE_UNREACHABLE = """
    INSERT INTO shq.file_destinations AS f
        (folder_id, destination, path, status, size_bytes, hash, error, attempts, changed_at)
    SELECT %(folder_id)s, %(destination)s, s.path, 'failed', s.size_bytes, s.hash,
           CASE WHEN s.hash IS NULL THEN 'the source cannot be read' ELSE %(error)s END, 1, %(now)s
    FROM listed_source s
    ON CONFLICT (folder_id, destination, path) DO UPDATE SET
        status = 'failed', size_bytes = EXCLUDED.size_bytes, hash = EXCLUDED.hash,
        error = EXCLUDED.error, attempts = f.attempts + 1, changed_at = EXCLUDED.changed_at,
        remote_hash = CASE WHEN f.hash = EXCLUDED.hash THEN f.remote_hash END,
        bytes_proven_at = CASE WHEN f.hash = EXCLUDED.hash THEN f.bytes_proven_at END
        WHERE NOT (f.status = 'synced' AND f.hash IS NOT DISTINCT FROM EXCLUDED.hash)"""
