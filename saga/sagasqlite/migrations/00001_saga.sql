-- +goose Up
create table saga_def (
	kind        text primary key, -- name@version
	fingerprint text not null
);

create table saga_lane (
	id    integer primary key autoincrement,
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
	at   bigint not null -- microseconds
);

create table saga_key (
	id         text primary key,
	uid        blob not null unique,
	kind       text not null,
	lane       bigint not null,
	input_hash text not null
);

-- Live sagas: inserted at the start, deleted at the end, never updated.
create table saga_active (
	uid  blob primary key,
	lane bigint not null
);
create index saga_active_lane on saga_active (lane, uid);

-- Insert-only.
create table saga_journal (
	uid   blob not null,
	seq   bigint not null,
	epoch bigint not null, -- of the lane, grows with every change of owner
	kind  integer not null,
	body  text not null,
	primary key (uid, seq)
) without rowid;

create table saga_timer (
	uid  blob primary key,
	lane bigint not null,
	due  bigint not null
);
create index saga_timer_due on saga_timer (lane, due, uid);

create table saga_mail (
	id       integer primary key autoincrement,
	lane     bigint not null,
	uid      blob not null,
	kind     text not null,
	name     text not null,
	dedupe   text,
	payload  text not null,
	rejected integer not null,
	actor    text not null,
	reason   text not null,
	unique (uid, kind, name, dedupe)
);
create index saga_mail_lane on saga_mail (lane, id);

-- +goose Down
drop table saga_mail;
drop table saga_timer;
drop table saga_journal;
drop table saga_active;
drop table saga_key;
drop table saga_beat;
drop table saga_node;
drop table saga_lane;
drop table saga_def;
