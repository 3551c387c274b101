-- +goose Up
-- Times are microseconds of this database's clock; 0: none.
create table saga_schedule (
	name       text primary key,
	expression text not null default '',    -- of the process that owned it last
	mark       bigint not null default 0,   -- every time up to here is done with
	last       bigint not null default 0,   -- for which a saga was started last
	last_uid   uuid not null,               -- that saga; zero: none
	skipped    bigint not null default 0,   -- how many times were skipped
	paused     boolean not null default false,
	actor      text not null default '',    -- who paused it, and why
	reason     text not null default ''
);

-- +goose Down
drop table saga_schedule;
