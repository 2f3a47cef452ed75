-- Companies number first..last of a seed, into marketing.company_master; the same on any machine.
-- Every thousand holds the places below in proportion to population (994 with a state, 6 without);
-- in every place the 7th and the 20th of 25 companies are bad, so no place is ever over 15 per cent.
-- Made-up names only; hashes of (number, seed) instead of random(); OFFSET 0 keeps each hash
-- computed once per row.
INSERT INTO marketing.company_master (
  company_unique_id, company_name, website_url, industry, employee_count, company_phone,
  address_street, address_city, address_state, address_zip, address_country,
  linkedin_url, facebook_url, twitter_url, sic_codes, founded_year, keywords, description,
  source_system, source_record_id, promoted_from_intake_at, promotion_audit_log_id,
  created_at, updated_at, state_abbrev, import_batch_id, validated_at, validated_by,
  data_quality_score
)
WITH
place (place, code, slots, area, zip3, cities) AS (
  VALUES
    (0, 'AK', 2, '907', '995', ARRAY['Anchorage', 'Fairbanks', 'Juneau']),
    (1, 'AL', 15, '205', '352', ARRAY['Birmingham', 'Huntsville', 'Mobile', 'Montgomery']),
    (2, 'AR', 9, '501', '722', ARRAY['Little Rock', 'Fayetteville', 'Fort Smith']),
    (3, 'AS', 1, '684', '967', ARRAY['Pago Pago', 'Tafuna', 'Leone']),
    (4, 'AZ', 21, '602', '850', ARRAY['Phoenix', 'Tucson', 'Mesa', 'Scottsdale']),
    (5, 'CA', 117, '213', '900', ARRAY['Los Angeles', 'San Diego', 'San José', 'Fresno', 'Sacramento', 'Oakland']),
    (6, 'CO', 17, '303', '802', ARRAY['Denver', 'Boulder', 'Colorado Springs']),
    (7, 'CT', 11, '203', '064', ARRAY['Hartford', 'New Haven', 'Stamford']),
    (8, 'DC', 2, '202', '200', ARRAY['Washington']),
    (9, 'DE', 3, '302', '198', ARRAY['Wilmington', 'Dover', 'Newark']),
    (10, 'FL', 64, '305', '331', ARRAY['Miami', 'Orlando', 'Tampa', 'Jacksonville', 'St. Petersburg']),
    (11, 'GA', 32, '404', '303', ARRAY['Atlanta', 'Savannah', 'Augusta', 'Macon']),
    (12, 'GU', 1, '671', '969', ARRAY['Hagåtña', 'Dededo', 'Tamuning']),
    (13, 'HI', 4, '808', '968', ARRAY['Honolulu', 'Hilo', 'Kāneʻohe']),
    (14, 'IA', 9, '515', '503', ARRAY['Des Moines', 'Cedar Rapids', 'Davenport']),
    (15, 'ID', 5, '208', '837', ARRAY['Boise', 'Coeur d''Alene', 'Idaho Falls']),
    (16, 'IL', 38, '312', '606', ARRAY['Chicago', 'Springfield', 'Peoria', 'Rockford']),
    (17, 'IN', 20, '317', '462', ARRAY['Indianapolis', 'Fort Wayne', 'South Bend']),
    (18, 'KS', 9, '316', '672', ARRAY['Wichita', 'Topeka', 'Overland Park']),
    (19, 'KY', 13, '502', '402', ARRAY['Louisville', 'Lexington', 'Bowling Green']),
    (20, 'LA', 14, '504', '701', ARRAY['New Orleans', 'Baton Rouge', 'Lafayette']),
    (21, 'MA', 21, '617', '021', ARRAY['Boston', 'Worcester', 'Cambridge']),
    (22, 'MD', 18, '410', '212', ARRAY['Baltimore', 'Annapolis', 'Frederick']),
    (23, 'ME', 4, '207', '041', ARRAY['Portland', 'Bangor', 'Augusta']),
    (24, 'MI', 30, '313', '482', ARRAY['Detroit', 'Grand Rapids', 'Ann Arbor']),
    (25, 'MN', 17, '612', '554', ARRAY['Minneapolis', 'Saint Paul', 'Duluth']),
    (26, 'MO', 18, '314', '631', ARRAY['St. Louis', 'Kansas City', 'Springfield']),
    (27, 'MP', 1, '670', '969', ARRAY['Saipan', 'Garapan', 'San Jose']),
    (28, 'MS', 9, '601', '392', ARRAY['Jackson', 'Biloxi', 'Hattiesburg']),
    (29, 'MT', 3, '406', '591', ARRAY['Billings', 'Missoula', 'Bozeman']),
    (30, 'NC', 31, '704', '282', ARRAY['Charlotte', 'Raleigh', 'Durham', 'Greensboro']),
    (31, 'ND', 2, '701', '581', ARRAY['Fargo', 'Bismarck', 'Minot']),
    (32, 'NE', 6, '402', '681', ARRAY['Omaha', 'Lincoln', 'Grand Island']),
    (33, 'NH', 4, '603', '031', ARRAY['Manchester', 'Nashua', 'Concord']),
    (34, 'NJ', 27, '201', '071', ARRAY['Newark', 'Jersey City', 'Trenton']),
    (35, 'NM', 6, '505', '871', ARRAY['Albuquerque', 'Santa Fe', 'Española']),
    (36, 'NV', 9, '702', '891', ARRAY['Las Vegas', 'Reno', 'Henderson']),
    (37, 'NY', 60, '212', '100', ARRAY['New York', 'Buffalo', 'Rochester', 'Albany', 'Syracuse']),
    (38, 'OH', 35, '216', '441', ARRAY['Cleveland', 'Columbus', 'Cincinnati', 'Toledo', 'Dayton']),
    (39, 'OK', 12, '405', '731', ARRAY['Oklahoma City', 'Tulsa', 'Norman']),
    (40, 'OR', 12, '503', '972', ARRAY['Portland', 'Eugene', 'Salem']),
    (41, 'PA', 39, '215', '191', ARRAY['Philadelphia', 'Pittsburgh', 'Erie', 'Scranton']),
    (42, 'PR', 10, '787', '009', ARRAY['San Juan', 'Ponce', 'Mayagüez', 'Bayamón']),
    (43, 'RI', 3, '401', '029', ARRAY['Providence', 'Warwick', 'Cranston']),
    (44, 'SC', 15, '803', '292', ARRAY['Columbia', 'Charleston', 'Greenville']),
    (45, 'SD', 3, '605', '571', ARRAY['Sioux Falls', 'Rapid City', 'Aberdeen']),
    (46, 'TN', 20, '615', '372', ARRAY['Nashville', 'Memphis', 'Knoxville', 'Chattanooga']),
    (47, 'TX', 86, '512', '787', ARRAY['Austin', 'Houston', 'Dallas', 'San Antonio', 'El Paso', 'Fort Worth']),
    (48, 'UT', 10, '801', '841', ARRAY['Salt Lake City', 'Provo', 'Ogden']),
    (49, 'VA', 26, '804', '232', ARRAY['Richmond', 'Norfolk', 'Alexandria', 'Roanoke']),
    (50, 'VI', 1, '340', '008', ARRAY['Charlotte Amalie', 'Christiansted', 'Cruz Bay']),
    (51, 'VT', 2, '802', '054', ARRAY['Burlington', 'Montpelier', 'Rutland']),
    (52, 'WA', 23, '206', '981', ARRAY['Seattle', 'Spokane', 'Tacoma']),
    (53, 'WI', 17, '414', '532', ARRAY['Milwaukee', 'Madison', 'Green Bay']),
    (54, 'WV', 5, '304', '253', ARRAY['Charleston', 'Huntington', 'Morgantown', 'Wheeling', 'Parkersburg']),
    (55, 'WY', 2, '307', '820', ARRAY['Cheyenne', 'Casper', 'Laramie']),
    (56, NULL, 6, '304', '253', ARRAY['Charleston', 'Nowhere', ''])
),
-- Each place's turns are spread evenly over the thousand, from a start of its own.
turn AS (
  SELECT
    row_number() OVER (
      ORDER BY
        (n * 1024 + (hashint8extended(p.place, %(seed)s::bigint) & 1023)) / (p.slots * 1024.0), p.place
    ) - 1 AS turn,
    n, p.*
  FROM place AS p, generate_series(0, p.slots - 1) AS n
),
numbered AS (
  SELECT i, mod(i - 1, 1000) AS turn FROM (
    SELECT generate_series(%(first)s::bigint, %(last)s::bigint) AS i
  ) AS numbers
),
drawn AS (
  SELECT
    b.i, t.place, t.code, t.area, t.zip3, t.cities,
    (b.i - 1) / 1000 * t.slots + t.n AS nth,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 1) AS h1,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 2) AS h2,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 3) AS h3,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 4) AS h4,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 5) AS h5,
    hashint8extended(b.i, %(seed)s::bigint * 16 + 6) AS h6
  FROM numbered AS b
  JOIN turn AS t USING (turn)
  ORDER BY b.i
  OFFSET 0
),
judged AS (
  SELECT
    *,
    -- 16 kinds of bad: 4 no name, 6 no website, 4 no dot in it, 1 no name and no website,
    -- 1 no name and no dot; NULL is good.
    CASE
      WHEN mod(nth, 25) = 6 THEN mod(place * 5 + nth / 25 * 6, 16)
      WHEN mod(nth, 25) = 19 THEN mod(place * 5 + nth / 25 * 6 + 3, 16)
    END AS fault,
    CASE
      WHEN code IS NOT NULL THEN code
      ELSE (ARRAY[NULL, '', 'XX', 'wv', ' WV', 'West Virginia'])[1 + mod(nth, 6)]
    END AS state,
    (ARRAY[
      'Blue', 'Cedar', 'Granite', 'Harbor', 'Iron', 'Juniper', 'Keystone', 'Lantern', 'Maple',
      'Northern', 'Orchard', 'Pioneer', 'Quarry', 'River', 'Summit', 'Timber', 'Union', 'Valley',
      'Willow', 'Amber', 'Beacon', 'Copper', 'Delta', 'Evergreen', 'Falcon', 'Golden', 'Highland',
      'Ivory', 'Jasper', 'Kindred', 'Lakeside', 'Meadow'
    ])[1 + (h1 & 31)] AS word1,
    (ARRAY[
      'Tooling', 'Logistics', 'Analytics', 'Foods', 'Dental', 'Roofing', 'Textiles', 'Robotics',
      'Freight', 'Optics', 'Plumbing', 'Printing', 'Consulting', 'Realty', 'Software', 'Farms',
      'Electric', 'Insurance', 'Motors', 'Media', 'Marine', 'Packaging', 'Pharmacy', 'Solar',
      'Staffing', 'Steel', 'Timberworks', 'Travel', 'Ventures', 'Welding', 'Windows', 'Wellness'
    ])[1 + ((h1 >> 5) & 31)] AS word2
  FROM drawn
  OFFSET 0
)
SELECT
  '04.04.01.' || lpad((i / 100000)::text, 2, '0') || '.'
    || lpad(mod(i, 100000)::text, 5, '0') || '.' || lpad(mod(i, 1000)::text, 3, '0'),
  CASE
    WHEN fault <= 3 OR fault >= 14 THEN NULL
    WHEN (h1 >> 10) & 7 = 0 THEN (ARRAY[
      'Café Crème & Fils', 'Zażółć Gęślą Sp. z o.o.', 'Ångström Öl AB', 'Groß & Söhne GmbH',
      'Ñandú Servicios, S.A.', 'Ромашка и партнёры', 'ООО «Синий кит»', 'Ελληνική Ναυτιλία Α.Ε.',
      'شركة النخيل للتجارة', 'بازرگانی آفتاب', 'תפוז תעשיות בע״מ', '青い山株式会社', '明月科技有限公司',
      '한빛 상사', 'नीलकमल उद्योग', 'ไทยรุ่งเรือง', '🚀 Rocket Bakery 🥐', '👩‍🌾 Family Farm',
      U&'Cafe\0301 Nin\0303o (NFD)', U&'A\030Angstro\0308m Labs', 'O''Malley & Daughters',
      'The "Quoted" Company, Inc.', E'Two\nLines LLC', E'Tab\tSeparated Co.', '', ' ',
      ' Leading Space Ltd', 'Comma, Comma, Comma', 'Back\slash Industries', 'NULL', 'N/A',
      U&'Zero\200BWidth Works'
    ])[1 + ((h1 >> 13) & 31)]
    ELSE word1 || ' ' || word2 || (ARRAY[
      ' LLC', ' Inc.', ', Inc.', ' Co.', ' Group', ' & Sons', '', ' Corporation'
    ])[1 + ((h1 >> 18) & 7)]
  END,
  CASE
    WHEN fault BETWEEN 4 AND 9 OR fault = 14 THEN NULL
    WHEN fault >= 10 THEN (ARRAY[
      'localhost', 'https://intranet', '', 'n/a', 'pending', 'www,example,com', ' ', 'http://'
    ])[1 + ((h2 >> 50) & 7)]
    ELSE CASE (h1 >> 21) & 15
        WHEN 0 THEN 'http://'
        WHEN 1 THEN ''
        WHEN 2 THEN 'HTTPS://WWW.'
        ELSE 'https://www.'
      END
      || lower(word1 COLLATE "C") || '-' || lower(word2 COLLATE "C") || '-' || i
      || CASE (h1 >> 25) & 7
        WHEN 0 THEN '.example.org'
        WHEN 1 THEN '.example.net/über-uns?lang=de&q="x"'
        WHEN 2 THEN '.example.com/'
        ELSE '.example.com'
      END
  END,
  (ARRAY[
    'Manufacturing', 'Transportation & Logistics', 'Information Technology', 'Food & Beverage',
    'Healthcare', 'Construction', 'Retail', 'Agriculture', 'Energy', 'Insurance', 'Real Estate',
    'Education', 'Hospitality', 'Media', 'Finance', NULL
  ])[1 + (h2 & 15)],
  CASE WHEN (h6 & 31) = 0 THEN NULL ELSE 1 + ((h2 >> 4) & 1023) * ((h2 >> 14) & 7) END,
  CASE WHEN ((h6 >> 5) & 15) = 0 THEN NULL
    ELSE '+1' || area || '55501' || lpad(mod((h2 >> 17) & 1023, 100)::text, 2, '0') END,
  CASE WHEN ((h6 >> 9) & 31) = 0 THEN NULL
    ELSE (1 + ((h3 >> 4) & 8191)) || (ARRAY[
      ' Main St', ' Oak Ave', ' Industrial Pkwy', ' Market Square', ' 2nd St, Suite 400',
      ' Riverside Dr', E' Elm St\nBuilding "C"', ' Calle Ocho #12'
    ])[1 + (h3 & 7)] END,
  cities[1 + mod((h3 >> 17) & 1023, cardinality(cities))],
  state,
  CASE WHEN ((h6 >> 14) & 31) = 0 THEN NULL
    ELSE zip3 || lpad(mod((h3 >> 27) & 1023, 100)::text, 2, '0') END,
  (ARRAY['US', 'US', 'US', 'US', 'USA', 'United States', 'US', NULL])[1 + ((h3 >> 37) & 7)],
  CASE WHEN ((h6 >> 19) & 3) <> 0
    THEN 'https://www.linkedin.com/company/example-' || i END,
  CASE WHEN ((h6 >> 21) & 1) = 0
    THEN 'https://www.facebook.com/example.' || i END,
  CASE WHEN ((h6 >> 22) & 3) = 0 THEN 'https://twitter.com/example_' || i END,
  CASE WHEN ((h6 >> 24) & 7) = 0 THEN NULL WHEN ((h6 >> 24) & 63) = 1 THEN ''
    ELSE (1000 + ((h3 >> 40) & 8191)) || ', ' || (1000 + ((h3 >> 53) & 1023)) END,
  CASE WHEN ((h6 >> 30) & 31) = 0 THEN NULL ELSE (1850 + mod((h2 >> 27) & 65535, 175)) END,
  CASE WHEN ((h6 >> 35) & 31) = 0 THEN NULL ELSE (ARRAY[
    'b2b', 'local', 'family-owned', 'export', 'wholesale', 'iso 9001', '24/7', 'certified',
    'machining', 'delivery', 'cloud', 'organic', 'design', NULL, 'a, b', 'say "hi"', '{brace}',
    'naïve', 'логистика', '物流', '🚚', '', 'saas', 'retail', 'repair', 'training', 'rental',
    'sales', 'support', 'consulting', 'import', 'green', 'solar', 'steel', 'wood', 'glass', 'NULL',
    E'new\nline'
  ])[1 + (h4 & 31) : (h4 & 31) + mod((h4 >> 5) & 1023, 7)] END,
  CASE WHEN ((h6 >> 40) & 31) = 0 THEN NULL ELSE
    word1 || ' ' || word2 || ', house ' || ((h4 >> 51) & 8191) || ': '
    || (ARRAY[
      'A family business that has served its neighbours and their companies for generations',
      'Makes precision parts, small series and prototypes for customers in twelve industries',
      'Moves goods from the "first mile" to the last, by road, rail and river, day and night',
      'Offers advice, planning and hands-on help to owners who want to grow without worry',
      E'Founded in a garage;\nnow three plants, two laboratories and a shop of its own',
      'Builds software for offices that still run on paper, and prints the paper too (all of it)',
      'Grows, packs and ships fruit, nuts and herbs from its own orchards and its partners''',
      'Repairs what others throw away: motors, pumps, looms, lathes and the odd typewriter'
    ])[1 + ((h4 >> 15) & 7)]
    || (ARRAY[
      '.', '. Known for fair prices and for answering the telephone.',
      '. Works in English, español, français, 日本語 and العربية.', E'.\tOpen on Saturdays.',
      '. Certified to ISO 9001 and ISO 14001; audited every year by an independent body.',
      '. Customers praise its patience.', '; wholesale and retail.', ' — since before the bridge.'
    ])[1 + ((h4 >> 18) & 7)]
    || (ARRAY['', ' Visitors welcome.', ' Ask for our catalogue, it is free, and for the tour.', ''])
    [1 + ((h4 >> 21) & 3)]
  END,
  (ARRAY['intake', 'csv_upload', 'partner_feed', 'manual'])[1 + ((h4 >> 23) & 3)],
  'rec-' || to_hex(h4),
  CASE WHEN mod(i, 997) = 1 THEN timestamptz '-infinity'
    WHEN ((h6 >> 45) & 7) = 0 THEN NULL
    ELSE timestamptz '2024-01-01 00:00:00+00'
      + (h5 & 35184372088831) * interval '1 microsecond' END,
  CASE WHEN ((h6 >> 48) & 7) = 0 THEN NULL ELSE ((h4 >> 30) & 1048575)::integer END,
  timestamptz '2024-01-01 00:00:00+00' + (h5 & 35184372088831) * interval '1 microsecond',
  timestamptz '2024-01-01 00:00:00+00'
    + ((h5 & 35184372088831) + ((h3 >> 16) & 8796093022207)) * interval '1 microsecond',
  CASE
    WHEN ((h6 >> 51) & 63) = 0 THEN NULL
    WHEN ((h6 >> 51) & 127) = 1 THEN 'PA'
    ELSE coalesce(code, 'WV')
  END,
  'batch-' || (i - 1) / 5000,
  CASE WHEN mod(i, 983) = 2 THEN timestamptz 'infinity'
    WHEN ((h6 >> 57) & 3) = 0 THEN NULL
    ELSE timestamptz '2025-06-01 00:00:00+00'
      + ((h5 >> 16) & 8796093022207) * interval '1 microsecond' END,
  CASE WHEN ((h6 >> 57) & 3) = 0 THEN NULL ELSE 'validator-' || ((h5 >> 60) & 3) END,
  CASE
    WHEN mod(i, 499) = 3 THEN 'NaN'::numeric
    WHEN ((h6 >> 59) & 15) = 0 THEN NULL
    ELSE mod((h2 >> 44) & 65535, 10001) * 0.01
  END
FROM judged
