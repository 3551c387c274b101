-- +goose Up
create table saga_def (
	kind        text primary key, -- name@version
	fingerprint text not null
);

create table saga_lane (
	id    bigint generated always as identity primary key,
	kind  text not null,
	n     integer not null,
	node  text,
	epoch bigint not null,
	unique (kind, n)
);

-- Every write of a node reads its row here in its own transaction; a take-over removes the row.
create table saga_node (
	node  text primary key,
	epoch bigint not null,
	kinds text not null
);

-- Apart from saga_node, so that a beat never waits for writes that hold the fence.
create table saga_beat (
	node text primary key,
	at   bigint not null -- microseconds of this database's clock
) with (fillfactor = 50);

create table saga_key (
	id         text primary key,
	uid        uuid not null unique,
	kind       text not null,
	lane       bigint not null,
	input_hash text not null
);

-- Live sagas: inserted at the start, deleted at the end, never updated.
create table saga_active (
	uid  uuid primary key,
	lane bigint not null
);
create index saga_active_lane on saga_active (lane, uid);

-- Insert-only. Ids begin with the time of the saga's start, so ranges of them are ranges of time. The store creates the
-- partitions ahead of time; the default one takes what has none.
create table saga_journal (
	uid   uuid not null,
	seq   bigint not null,
	epoch bigint not null, -- of the lane, grows with every change of owner
	kind  smallint not null,
	body  text not null,
	primary key (uid, seq)
) partition by range (uid);
create table saga_journal_default partition of saga_journal default;

create table saga_timer (
	uid  uuid primary key,
	lane bigint not null,
	due  bigint not null
);
create index saga_timer_due on saga_timer (lane, due, uid);

create table saga_mail (
	id       bigint generated always as identity primary key,
	lane     bigint not null,
	uid      uuid not null,
	kind     text not null,
	name     text not null,
	dedupe   text,
	payload  text not null,
	rejected boolean not null,
	actor    text not null,
	reason   text not null,
	unique (uid, kind, name, dedupe)
);
create index saga_mail_lane on saga_mail (lane, id);

-- +goose Down
drop table saga_mail, saga_timer, saga_journal, saga_active, saga_key, saga_beat, saga_node, saga_lane, saga_def;
