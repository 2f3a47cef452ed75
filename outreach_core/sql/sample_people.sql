-- People number first..last of a seed, into marketing.people_master; the same on any machine.
-- About four to a company. Of every hundred 15 are bad: 8 by email, 5 by title, 2 by both; one more
-- has an email that is odd and good by the rule (a space, a line end). Made-up names only.
INSERT INTO marketing.people_master (
  unique_id, company_unique_id, company_slot_unique_id, first_name, last_name, full_name, title,
  seniority, department, email, work_phone_e164, personal_phone_e164, linkedin_url, twitter_url,
  facebook_url, bio, skills, education, certifications, source_system, source_record_id,
  promoted_from_intake_at, promotion_audit_log_id, created_at, updated_at, email_verified,
  message_key_scheduled, email_verification_source, email_verified_at
)
WITH
drawn AS (
  SELECT
    j,
    hashint8extended(j, %(seed)s::bigint * 16 + 8) AS h1,
    hashint8extended(j, %(seed)s::bigint * 16 + 9) AS h2,
    hashint8extended(j, %(seed)s::bigint * 16 + 10) AS h3,
    hashint8extended(j, %(seed)s::bigint * 16 + 11) AS h4,
    hashint8extended(j, %(seed)s::bigint * 16 + 12) AS h5,
    mod(j * 37 + (hashint8extended((j - 1) / 100, %(seed)s::bigint * 16 + 13) & 65535), 100) AS fault
  FROM (SELECT generate_series(%(first)s::bigint, %(last)s::bigint) AS j) AS numbers
  OFFSET 0
),
named AS (
  SELECT
    *,
    greatest(1, (j - 1) / 4 + 1 - mod((h1 >> 40) & 1023, 6)) AS company,
    mod((h1 >> 50) & 1023, 8) = 0 AS other_script,
    (ARRAY[
      'Ada', 'Ben', 'Cora', 'Dan', 'Ella', 'Finn', 'Gwen', 'Hugo', 'Iris', 'Jack', 'Kara', 'Liam',
      'Mona', 'Nils', 'Olga', 'Paul', 'Quinn', 'Rosa', 'Seth', 'Tara', 'Uma', 'Vera', 'Walt',
      'Xena', 'Yara', 'Zack', 'Anne', 'Bill', 'Cleo', 'Dora', 'Emil', 'Faye'
    ])[1 + (h1 & 31)] AS first,
    (ARRAY[
      'Archer', 'Bridges', 'Carver', 'Dunmore', 'Eastlake', 'Fairweather', 'Greenfield',
      'Hollowell', 'Ironside', 'Jessop', 'Kettering', 'Longwood', 'Merriweather', 'Nightingale',
      'Oakley', 'Penhallow', 'Quillfeather', 'Rivers', 'Stonebridge', 'Thistlewood', 'Underhill',
      'Vandermeer', 'Westbrook', 'Yarrow', 'Ashdown', 'Brightwater', 'Copperfield', 'Dewhurst',
      'Elderflower', 'Foxglove', 'Goldsworthy', 'Hawthorne'
    ])[1 + ((h1 >> 5) & 31)] AS last,
    (ARRAY[
      'José', 'Zoë', 'Søren', 'Łucja', 'Иван', 'Мария', 'Γιώργος', 'محمد', 'ליאור', '太郎', '美玲',
      '지우', 'अनिता', U&'Rene\0301', '🦊 Fox', 'D''Arcy "Dee"'
    ])[1 + ((h1 >> 10) & 15)] AS script_first,
    (ARRAY[
      'Peñalta', 'Müßig', 'Ødegrav', 'Żółtek', 'Синичкин', 'Лесная', 'Θαλασσινός', 'النخيل', 'תפוז',
      '青山', '明月', '한빛', 'नीलकमल', U&'Mun\0303iz', '', E'van der\tBerg, Jr.'
    ])[1 + ((h1 >> 10) & 15)] AS script_last
  FROM drawn
  OFFSET 0
),
addressed AS (
  SELECT
    *,
    '04.04.01.' || lpad((company / 100000)::text, 2, '0') || '.'
      || lpad(mod(company, 100000)::text, 5, '0') || '.'
      || lpad(mod(company, 1000)::text, 3, '0') AS company_id,
    '.' || lpad((j / 100000)::text, 2, '0') || '.' || lpad(mod(j, 100000)::text, 5, '0') || '.'
      || lpad(mod(j, 1000)::text, 3, '0') AS number,
    lower(first COLLATE "C") || '.' || lower(last COLLATE "C") AS mailbox,
    timestamptz '2024-01-01 00:00:00+00'
      + (h2 & 35184372088831) * interval '1 microsecond' AS born
  FROM named
  OFFSET 0
)
SELECT
  '04.04.02' || number,
  CASE
    WHEN (h5 & 255) = 0 THEN NULL
    WHEN (h5 & 255) = 1 THEN '04.04.01.99.99999.' || lpad(mod(j, 1000)::text, 3, '0')
    WHEN (h5 & 1023) = 2 THEN ''
    ELSE company_id
  END,
  CASE WHEN ((h5 >> 10) & 31) = 0 THEN NULL ELSE '04.04.05' || number END,
  CASE WHEN ((h5 >> 15) & 127) = 0 THEN NULL WHEN other_script THEN script_first ELSE first END,
  CASE WHEN ((h5 >> 15) & 127) = 1 THEN NULL WHEN other_script THEN script_last ELSE last END,
  CASE
    WHEN ((h5 >> 22) & 63) = 0 THEN NULL
    WHEN ((h5 >> 22) & 127) = 1 THEN ''
    WHEN other_script THEN script_first || ' ' || script_last
    ELSE first || ' ' || last
  END,
  CASE WHEN fault BETWEEN 8 AND 14 THEN NULL ELSE (ARRAY[
    'CEO', 'CFO', 'Chief Technology Officer', 'VP, Sales', 'Director of Operations',
    'HR Manager', 'Plant Manager', 'Buyer', 'Accountant', 'Software Engineer', 'Head of "Things"',
    'Responsable Comercial', 'Geschäftsführer', '部長', '', 'Office Manager / Bookkeeper'
  ])[1 + (h3 & 15)] END,
  (ARRAY['c_suite', 'vp', 'director', 'manager', 'senior', 'entry', NULL, ''])[1 + ((h3 >> 4) & 7)],
  (ARRAY['Finance', 'Operations', 'Sales', 'Engineering', 'HR', 'Marketing', 'Legal', NULL])
  [1 + ((h3 >> 7) & 7)],
  CASE
    WHEN fault < 8 OR fault IN (13, 14) THEN (ARRAY[
      NULL, mailbox || '.example.com', mailbox || '@@example.com', mailbox || '@example', '', '   ',
      '@example.com', mailbox || '@.com', mailbox || '@example.', mailbox || E'.example.com\n',
      mailbox || '@example.com, ' || mailbox || '@example.org', NULL
    ])[1 + mod((h3 >> 10) & 65535, 12)]
    WHEN fault = 15 THEN (ARRAY[
      replace(mailbox, '.', ' ') || '@example.com', mailbox || E'@example.org\n',
      'Пётр.' || mailbox || '@example.net', mailbox || '+tag@mail.example.com'
    ])[1 + ((h3 >> 26) & 3)]
    ELSE mailbox || j || (ARRAY[
      '@example.com', '@example.org', '@example.net', '@mail.example.com'
    ])[1 + ((h3 >> 28) & 3)]
  END,
  CASE WHEN ((h5 >> 29) & 7) = 0 THEN NULL
    ELSE '+1' || (ARRAY['304', '212', '713', '415', '312', '206', '602', '404'])[1 + ((h3 >> 30) & 7)]
      || '55501' || lpad(mod((h3 >> 33) & 1023, 100)::text, 2, '0') END,
  CASE WHEN ((h5 >> 32) & 3) = 0
    THEN '+130455501' || lpad(mod((h3 >> 43) & 1023, 100)::text, 2, '0') END,
  CASE WHEN ((h5 >> 34) & 3) <> 0 THEN 'https://www.linkedin.com/in/example-' || j END,
  CASE WHEN ((h5 >> 36) & 7) = 0 THEN 'https://twitter.com/example_' || j END,
  CASE WHEN ((h5 >> 39) & 7) = 0 THEN 'https://www.facebook.com/example.' || j END,
  CASE WHEN ((h5 >> 42) & 3) = 0 THEN NULL ELSE
    (ARRAY[
      'Joined from a competitor and never looked back; responsible for the whole region',
      'Started on the shop floor, took evening classes, and now leads a team of eleven',
      'Speaks four languages, reads "contracts" for fun, and answers mail before breakfast',
      E'First line of a biography,\nsecond line of it, with a tab\there'
    ])[1 + (h4 & 3)]
    || (ARRAY['.', '. Likes long walks.', '. Ελληνικά, 中文, हिन्दी and עברית on request.', ''])
    [1 + ((h4 >> 2) & 3)]
    || ' Extension ' || ((h2 >> 45) & 65535)
  END,
  CASE WHEN ((h5 >> 44) & 15) = 0 THEN NULL ELSE (ARRAY[
    'negotiation', 'sql', 'welding', 'budgeting', 'excel', NULL, 'lean', 'six sigma', 'hiring', 'crm',
    'español', '会計', 'a, b', 'say "hi"', '', 'python', 'public speaking', 'cad', 'logistics',
    'forecasting', 'safety', 'NULL'
  ])[1 + ((h4 >> 4) & 15) : ((h4 >> 4) & 15) + mod((h4 >> 8) & 1023, 7)] END,
  (ARRAY['BSc, Example State', 'MBA', 'High school', 'PhD (chemistry)', 'Trade school', '', NULL,
    'Licenciatura en Economía'])[1 + ((h4 >> 18) & 7)],
  CASE WHEN ((h5 >> 48) & 1) = 0 THEN NULL ELSE (ARRAY[
    'CPA', 'PMP', 'OSHA 30', 'CDL', NULL, '', 'AWS "Practitioner"', 'Six Sigma, Green'
  ])[1 + ((h4 >> 21) & 7) : ((h4 >> 21) & 7) + ((h4 >> 24) & 1)] END,
  (ARRAY['intake', 'csv_upload', 'partner_feed', 'manual'])[1 + ((h4 >> 25) & 3)],
  'rec-' || to_hex(h4),
  CASE WHEN mod(j, 3989) = 1 THEN timestamptz '-infinity'
    WHEN ((h5 >> 49) & 7) = 0 THEN NULL
    ELSE born END,
  CASE WHEN ((h5 >> 49) & 7) = 0 THEN NULL ELSE ((h4 >> 30) & 1048575)::integer END,
  born,
  born + ((h2 >> 20) & 8796093022207) * interval '1 microsecond',
  CASE WHEN ((h5 >> 52) & 3) = 0 THEN NULL ELSE ((h5 >> 52) & 3) <> 1 END,
  CASE WHEN ((h5 >> 54) & 7) = 0 THEN 'msg-' || to_hex(h3 & 16777215) END,
  (ARRAY['bounce_check', 'vendor', 'manual', NULL])[1 + ((h5 >> 57) & 3)],
  CASE WHEN mod(j, 3967) = 2 THEN timestamptz 'infinity'
    WHEN ((h5 >> 52) & 3) < 2 THEN NULL
    ELSE born + ((h2 >> 19) & 4398046511103) * interval '1 microsecond' END
FROM addressed
