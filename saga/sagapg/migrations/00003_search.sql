-- +goose Up
alter table saga_key alter column id type text collate "C"; -- prefixes are searched as ranges of bytes

alter table saga_mail add column at bigint not null default 0; -- microseconds of this database's clock

-- Properties given at the start.
create table saga_attr (
	uid   uuid not null,
	name  text collate "C" not null,
	value text collate "C" not null,
	primary key (uid, name)
);
create index saga_attr_value on saga_attr (name, value, uid);

-- Sagas that are, or ended, otherwise than running, waiting or completed. All others have no row.
create table saga_state (
	uid    uuid primary key,
	state  text not null,
	step   text not null,
	reason text not null,
	since  bigint not null
);
create index saga_state_state on saga_state (state, uid);

create table saga_fork (
	uid    uuid primary key,
	source uuid not null,
	owns   boolean not null -- the fork takes back what the source did
);
create index saga_fork_source on saga_fork (source);
create unique index saga_fork_owner on saga_fork (source) where owns;

-- +goose Down
drop table saga_fork, saga_state, saga_attr;
alter table saga_mail drop column at;
alter table saga_key alter column id type text collate "default";
