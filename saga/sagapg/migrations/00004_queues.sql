-- +goose Up
-- Sagas that were started into a queue and have not ended. State 0: ready to be admitted, 1: stands aside because another one of
-- its key is admitted, 2: admitted. Every index is partial, so that the length of one line does not slow another.
create table saga_queue (
	uid   uuid primary key,
	lane  bigint not null, -- of the saga
	queue text not null,
	key   text not null,
	rank  bigint not null, -- time of the start less the head start of its priority, in microseconds
	ord   bigint generated always as identity,
	since bigint not null, -- time of the start
	state smallint not null
);
create index saga_queue_ready on saga_queue (queue, rank, ord) where state = 0;
create index saga_queue_aside on saga_queue (queue, key, rank, ord) where state = 1;
create index saga_queue_admitted on saga_queue (queue, key) where state = 2;

create table saga_rate (
	queue text primary key,
	next  bigint not null -- when the next saga may begin, if there were no burst, in microseconds
);

-- +goose Down
drop table saga_rate;
drop table saga_queue;
