-- +goose Up
alter table saga_mail add column at bigint not null default 0; -- microseconds

-- Properties given at the start.
create table saga_attr (
	uid   blob not null,
	name  text not null,
	value text not null,
	primary key (uid, name)
) without rowid;
create index saga_attr_value on saga_attr (name, value, uid);

-- Sagas that are, or ended, otherwise than running, waiting or completed. All others have no row.
create table saga_state (
	uid    blob primary key,
	state  text not null,
	step   text not null,
	reason text not null,
	since  bigint not null
);
create index saga_state_state on saga_state (state, uid);

create table saga_fork (
	uid    blob primary key,
	source blob not null,
	owns   boolean not null -- the fork takes back what the source did
);
create index saga_fork_source on saga_fork (source);
create unique index saga_fork_owner on saga_fork (source) where owns;

-- +goose Down
drop table saga_fork;
drop table saga_state;
drop table saga_attr;
alter table saga_mail drop column at;
