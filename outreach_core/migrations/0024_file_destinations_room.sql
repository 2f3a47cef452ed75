-- Every run rewrites every row of its place (proven_at): with room left beside each, that costs no
-- work in the indexes (10,000 rows: 0.16 s instead of 0.23 s).
ALTER TABLE shq.file_destinations SET (fillfactor = 50);
