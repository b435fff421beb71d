-- What was ordered in a year, beside the verdicts: 20,000 entries of lists, three in four with the decision they came of, half of them of one tenant; 2,000 erasures; 400 releases of
-- policies to tenants, 8 of hash lists to all; receipts of each box that they reach; 200 roll-outs; 300 approvals; 500 drafts.
INSERT INTO box_tenants SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'tenant-' || (n + k) % 20
    FROM generate_series(1, 200) n, generate_series(0, 1) k;
INSERT INTO directives (epoch, lane, seq, kind, ordered_by, ordered_at, bytes, signatures)
    SELECT 1, 'tenant/tenant-' || n % 20, n, CASE WHEN n <= 20000 THEN 'list' WHEN n <= 22000 THEN 'erase' ELSE 'release' END, 'console',
        now() - (22400 - n) * interval '20 minutes', '\x00', '{}' FROM generate_series(1, 22400) n;
INSERT INTO directives (epoch, lane, seq, kind, ordered_by, ordered_at, bytes, signatures)
    SELECT 1, 'fleet', n, 'release', 'console', now() - n * interval '1 day', '\x00', '{}' FROM generate_series(1, 8) n;
INSERT INTO directive_receipts (box, epoch, lane, seq, refused, at, received_at)
    SELECT t.box, d.epoch, d.lane, d.seq, CASE WHEN d.seq % 97 = 0 THEN 'unusable' END, 0, d.ordered_at + interval '1 second'
    FROM directives d JOIN box_tenants t ON d.lane = 'tenant/' || t.tenant;
INSERT INTO directive_receipts (box, epoch, lane, seq, refused, at, received_at)
    SELECT b.box, d.epoch, d.lane, d.seq, NULL, 0, d.ordered_at + interval '1 second' FROM directives d, boxes b WHERE d.lane = 'fleet';
INSERT INTO releases (epoch, lane, seq, kind, name, version, content, ordered_by, ordered_at)
    SELECT epoch, lane, seq, CASE lane WHEN 'fleet' THEN 'bank' ELSE 'policy' END, 'name-' || seq / 20 % 10, seq, repeat('# a line of a policy' || chr(10), 200),
        ordered_by, ordered_at FROM directives WHERE kind = 'release';
INSERT INTO list_entries (tenant, hash, distance, negative, category, verified, protected, on_list, ordered_by, ordered_at)
    SELECT 'tenant-' || CASE n % 2 WHEN 0 THEN 7 ELSE n % 20 END, sha256(('l' || n)::bytea), CASE WHEN n % 2 = 0 THEN 31 ELSE -1 END, false, 'sexual', true, false, n % 50 <> 0, 'console',
        now() - n * interval '20 minutes' FROM generate_series(1, 20000) n;
INSERT INTO review_decisions (box, subject, decision, tab, tenant, verb, policy, reason, remember, account, actor, at, listed)
    SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(1 + n % 200), 12, '0'))::uuid, gen_random_uuid(), gen_random_uuid(), 'held', 'tenant-' || CASE n % 2 WHEN 0 THEN 7 ELSE n % 20 END, 'reject',
        'starter', 'clear', true, (SELECT account FROM accounts LIMIT 1), 'bench', now() - n * interval '20 minutes',
        CASE WHEN n <= 20000 THEN jsonb_build_array(jsonb_build_object('hash', encode(sha256((CASE WHEN n % 4 = 1 THEN 'other' ELSE 'l' END || n)::bytea), 'hex'))) ELSE '[]' END
    FROM generate_series(1, 200000) n;
INSERT INTO drafts (draft, name, content, note, account, at) SELECT gen_random_uuid(), 'starter', repeat('# a line of a policy' || chr(10), 200), 'n', account,
    now() - n * interval '1 hour' FROM generate_series(1, 500) n, (SELECT account FROM accounts LIMIT 1) a;
INSERT INTO rollouts (rollout, kind, name, version, content, state, note, account, at)
    SELECT ('00000000-0000-0000-0001-' || lpad(to_hex(n), 12, '0'))::uuid, 'policy', 'starter', n, repeat('# a line of a policy' || chr(10), 200),
        CASE n WHEN 1 THEN 'open' ELSE 'done' END, 'n', account, now() - n * interval '1 day' FROM generate_series(1, 200) n, (SELECT account FROM accounts LIMIT 1) a;
INSERT INTO rollout_stages (rollout, stage, lane, go_bytes, go_signature, back_bytes, back_signature, go_epoch, go_seq, go_at, go_by)
    SELECT r.rollout, s.stage, s.lane, '\x00', '\x00', '\x00', '\x00', 1, s.seq, now() - interval '12 hours', 'bench'
    FROM rollouts r, (VALUES (1, 'tenant/tenant-7', 22007), (2, 'tenant/tenant-8', 22008), (3, 'fleet', 1)) s (stage, lane, seq);
INSERT INTO approvals (approval, action, subject, wanted, why, asked_by, asked_at, expires_at)
    SELECT gen_random_uuid(), 'directive.order', 'erase to tenant/tenant-1', '{"grave": "order", "to": "tenant/tenant-1", "order": {"kind": "erase"}}', 'asked by law', account,
        now() - n * interval '1 minute', now() + interval '7 days' FROM generate_series(1, 300) n, (SELECT account FROM accounts WHERE name = 'admin') a;
-- 50 bundles, of which each box has the most; five versions of models and 60 flags a box.
INSERT INTO blobs (sha256, bytes, name) SELECT sha256(('b' || n)::bytea), 50000000, 'model-' || n FROM generate_series(1, 50) n;
INSERT INTO box_bundles (box, bundle, installed, what, at, received_at)
    SELECT b.box, left(encode(sha256(('b' || n)::bytea), 'hex'), 16), n % 9 <> 0, CASE n % 9 WHEN 0 THEN 'no_room' ELSE 'nsfw@' || n END, 0, now() + interval '1 hour'
    FROM boxes b, generate_series(1, 45) n;
INSERT INTO box_models (box, model, stage, cause, at)
    SELECT b.box, 'nsfw@' || n, CASE n WHEN 5 THEN 'canary' WHEN 4 THEN 'active' ELSE 'retired' END, 'command', 0 FROM boxes b, generate_series(1, 5) n;
INSERT INTO box_flags (box, flag, is_on, at) SELECT b.box, 'f' || n, n % 3 = 0, 0 FROM boxes b, generate_series(0, 59) n;
ANALYZE
