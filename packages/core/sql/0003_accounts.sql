-- People: their accounts, the sessions of their browsers, and one-time links. Programs keep their tokens.

create table accounts (
  id text primary key,
  name text not null unique,
  role text not null check (role in ('viewer', 'operator', 'admin')),
  -- argon2id, in PHC text form; null: signs in by a link or at the issuer only.
  password_hash text,
  -- OIDC: who vouches for it, and its name there. Both or none.
  issuer text,
  subject text,
  created_at timestamptz not null,
  signed_in_at timestamptz,
  disabled_at timestamptz,
  check ((issuer is null) = (subject is null)),
  unique (issuer, subject)
);

create table sessions (
  id text primary key,
  account_id text not null references accounts (id) on delete cascade,
  secret_sha256 text not null unique,
  created_at timestamptz not null,
  seen_at timestamptz not null,
  expires_at timestamptz not null,
  source_address text not null,
  user_agent text not null,
  revoked_at timestamptz
);
create index sessions_by_account on sessions (account_id);

-- Wrong passwords by the name that was given, whether or not there is such an account: an answer must not tell.
create table sign_in_failures (
  name text primary key,
  failed_count integer not null,
  failed_at timestamptz not null,
  locked_until timestamptz
);

create table sign_in_links (
  secret_sha256 text primary key,
  -- null: makes the first admin.
  account_id text references accounts (id) on delete cascade,
  created_at timestamptz not null,
  expires_at timestamptz not null
);
